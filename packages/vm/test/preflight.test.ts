import { local } from '@talosmith/core'
import { recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { observeDetails, tryMachine } from '../src/preflight.ts'
import { emptyHost } from './observed-hosts.ts'

const cluster = testCluster()

const flags = 'fpu cx16 lahf_lm popcnt sse4_1 ssse3 hypervisor'
/** The facts that are parsed from the output of the command. */
const details = (...lines: string[]) =>
  observeDetails(
    recordingHost(() =>
      ['user me', 'groups me kvm', `flags flags : ${flags}`, ...lines].join('\n'),
    ),
    { programs: ['curl'], bridge: 'br0' },
  )

test('reads the user, missing programs and missing CPU flags', async () => {
  const observed = await details('missing curl', 'confined AppArmor')
  assert.equal([observed.user, observed.groups], ['me', ['me', 'kvm']])
  assert.equal(observed.missingPrograms, ['curl'])
  assert.equal([observed.missingCpuFlags, observed.isNested], [['sse4_2'], true])
  assert.equal(observed.confinement, ['AppArmor'])
})

for (const [title, lines, expected] of [
  ['no bridge', [], undefined],
  ['a bridge that is off', ['flags-of-bridge 0x1002'], { isUp: false }],
  ['a bridge that is on, without a machine in it yet', ['flags-of-bridge 0x1003'], { isUp: true }],
] as const)
  test(`reads ${title} from its flags`, async () => {
    assert.equal((await details(...lines)).bridge, expected)
  })

test('a FORWARD policy without permission to read it is unknown', async () => {
  assert.equal((await details('nf 1')).filter, { seesBridged: true, policy: undefined, rules: [] })
  const accepting = '-A FORWARD -i br0 -j ACCEPT'
  assert.equal((await details('nf 0', 'rule -P FORWARD DROP', `rule ${accepting}`)).filter, {
    ...{ seesBridged: false, policy: 'DROP', rules: [accepting] },
  })
})

test('reads the addresses and MAC addresses of the host', async () => {
  const observed = await details(
    'address 10.0.0.2/24',
    'address 127.0.0.1/8',
    'mac 52:54:00:AA:00:01',
  )
  assert.equal(observed.addresses, ['10.0.0.2/24', '127.0.0.1/8'])
  assert.equal(observed.macs, ['52:54:00:aa:00:01'])
  const here = await observeDetails(local, { programs: [] })
  assert.ok(here.macs.includes('00:00:00:00:00:00'), here.macs.join())
})

test('checks only the required programs', async () => {
  const observed = await observeDetails(local, { programs: ['cat', 'no-such-program'] })
  assert.equal(observed.missingPrograms, ['no-such-program'])
  assert.is(observed.bridge, undefined)
  assert.equal((await observeDetails(local, { programs: [] })).missingPrograms, [])
})

test('a throwaway machine has its own name, and is removed before and after', async () => {
  const host = recordingHost(() => '')
  assert.equal(await tryMachine(host, cluster, emptyHost(cluster)), { ok: true })
  const [command = ''] = host.commands
  assert.ok(command.indexOf('\ncleanup\n') < command.indexOf('vol-create-as'))
  assert.match(command, 'trap cleanup EXIT')
  assert.match(command, 'destroy talosmith-doctor-home')
  assert.match(command, 'vol-delete --pool default talosmith-doctor-home.qcow2')
  assert.match(command, '--paused')
})

test('keeps the error output of QEMU and the kernel log', async () => {
  const host = recordingHost(() => ({
    stdout: 'audit: apparmor="DENIED"\n',
    stderr: 'error: Permission denied\n',
    exitCode: 1,
  }))
  assert.equal(await tryMachine(host, cluster, emptyHost(cluster)), {
    ok: false,
    reason: 'error: Permission denied',
    kernelLog: ['audit: apparmor="DENIED"'],
  })
})

test.run()
