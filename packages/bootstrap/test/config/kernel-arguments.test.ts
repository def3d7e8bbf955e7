import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { keepKernelArguments, missingArguments } from '../../src/config/kernel-arguments.ts'

const ours = ['amd_iommu=on', '-quiet']
const install = { disk: '/dev/vda', image: 'x/nocloud-installer/abc:v1' }

/** What the installer section has, what runs, and what it has then; a string: the arguments that would be lost. */
const rows: [string, string, object, object | undefined | string][] = [
  ['1.9 takes them from the config', 'v1.9.6', {}, { extraKernelArgs: ours }],
  ['1.10 takes them from the config', 'v1.10.9', {}, { extraKernelArgs: ours }],
  ['1.11 takes them from the config', 'v1.11.6', {}, { extraKernelArgs: ours }],
  [
    'those of a patch stay',
    'v1.11.6',
    { extraKernelArgs: ['a=b'] },
    { extraKernelArgs: ['a=b', ...ours] },
  ],
  ['they are written once', 'v1.11.6', { extraKernelArgs: ours }, undefined],
  ["1.12 takes the image's", 'v1.12.0', {}, { grubUseUKICmdline: true }],
  ['a release candidate is of its minor before', 'v1.12.0-rc.1', {}, { extraKernelArgs: ours }],
  ['1.12 after 1.11', 'v1.12.11', { extraKernelArgs: ours }, { grubUseUKICmdline: true }],
  [
    "1.12 still passes a patch's",
    'v1.12.11',
    { extraKernelArgs: ['a=b'] },
    { extraKernelArgs: ['a=b', ...ours] },
  ],
  ['1.13 has it by itself', 'v1.13.9', { grubUseUKICmdline: true }, undefined],
  [
    'a patch that turned it off',
    'v1.13.9',
    { grubUseUKICmdline: false },
    { grubUseUKICmdline: true },
  ],
  ["1.13 would lose a patch's", 'v1.13.9', { extraKernelArgs: ['a=b', 'c'] }, 'a, c'],
]
for (const [what, runs, has, expected] of rows)
  test(`${what}: ${runs}`, () => {
    const config = `${stringify({ machine: { install: { ...install, ...has } } })}---\nkind: Other\nname: x\n`
    const kept = keepKernelArguments(config, ours, runs)
    if (typeof expected === 'string')
      return assert.equal(kept, { kind: 'lost', names: expected.split(', ') })
    if (expected === undefined) return assert.equal(kept, { kind: 'unchanged' })
    assert.ok(kept.kind === 'changed')
    const [base = '', other = ''] = kept.text.split('---\n')
    assert.equal(parse(base), { machine: { install: { ...install, ...expected } } })
    assert.equal(parse(other), { kind: 'Other', name: 'x' })
    assert.equal(keepKernelArguments(kept.text, ours, runs), { kind: 'unchanged' })
  })

test('without arguments of ours, those of a patch stay or are reported, and nothing is written', () => {
  const keep = (runs: string, has: object): unknown =>
    keepKernelArguments(stringify({ machine: { install: { ...install, ...has } } }), [], runs)
  for (const runs of ['v1.9.6', 'v1.11.6', 'v1.12.11'])
    assert.equal(keep(runs, { extraKernelArgs: ['a=b'] }), { kind: 'unchanged' })
  for (const runs of ['v1.13.0', 'v1.14.1'])
    assert.equal(keep(runs, { extraKernelArgs: ['a=b'] }), { kind: 'lost', names: ['a'] })
  for (const runs of ['v1.11.6', 'v1.12.11', 'v1.13.9']) {
    assert.equal(keep(runs, {}), { kind: 'unchanged' })
    assert.equal(keep(runs, { grubUseUKICmdline: true }), { kind: 'unchanged' })
  }
})

test('the form of 1.14 always takes the arguments of the image', () => {
  const config = 'machine: {}\n---\nkind: UnattendedInstallConfig\ninstaller: { image: x }\n'
  assert.equal(keepKernelArguments(config, ours, 'v1.14.2'), { kind: 'unchanged' })
})

test('a default that is replaced by another value is not missing', () => {
  const wanted = ['-console', 'console=ttyS1']
  assert.equal(missingArguments(wanted, ['console=ttyS1']), [])
  assert.equal(missingArguments(wanted, ['console=tty0', 'console=ttyS1']), ['-console'])
})

test('a missing argument is named without its value, and one that is removed must not be there', () => {
  assert.equal(missingArguments(ours, ['console=ttyS0', 'amd_iommu=on']), [])
  assert.equal(missingArguments(ours, ['amd_iommu=off', 'quiet']), ['amd_iommu', '-quiet'])
  assert.equal(missingArguments(['-panic'], ['panic=10']), ['-panic'])
  assert.equal(missingArguments(['-panic=10'], ['panic=0']), [])
})

test.run()
