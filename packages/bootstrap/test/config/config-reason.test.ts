import { CommandFailed } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configReason, withoutValues } from '../../src/config/config-reason.ts'

const reasonFor = (stderr: string, ...texts: string[]): string =>
  configReason(
    new CommandFailed('this machine', 'talosctl', { stdout: '', stderr, exitCode: 1 }),
    texts,
  )
const unknown = 'error decoding document /v1alpha1/ (line 1): unknown keys found during decoding:\n'

/** What talosctl 1.13 prints for a patch, and what is shown. */
const refusals: [title: string, patch: string, stderr: string, shown: string][] = [
  [
    'a misspelt key',
    'machine:\n  networks:\n    token: hunter2\n',
    `${unknown}machine:\n    networks:\n        token: hunter2\n\n`,
    'error decoding document /v1alpha1/ (line 1): unknown keys: machine.networks.token',
  ],
  [
    'misspelt keys with lists, blocks and nothing below them',
    '',
    `${unknown}machine:\n    fils:\n        - path: /x\n          content: |\n            password: hunter2\n    b: {}\n    c: [hunter2, 'x: hunter2']\n\n`,
    'error decoding document /v1alpha1/ (line 1): unknown keys: machine.fils.path, machine.fils.content, machine.b, machine.c',
  ],
  [
    'a key that has a value because its space is missing',
    '',
    `${unknown}machine:\n    ? password:hunter2\n    : {}\n`,
    'error decoding document /v1alpha1/ (line 1): unknown keys: machine.password',
  ],
  [
    'more than is shown of an error',
    '',
    `${unknown}machine:\n    fils:\n        content: "${'hunter2 '.repeat(200)}"\n`,
    'error decoding document /v1alpha1/ (line 1): unknown keys: machine.fils.content',
  ],
  [
    'the answer of a machine',
    '',
    `error applying new configuration: rpc error: code = InvalidArgument desc = ${unknown}user: hunter2\n`,
    'error decoding document /v1alpha1/ (line 1): unknown keys: user',
  ],
  [
    'a value of the wrong type',
    'machine: {time: {bootTimeout: hunter2}}',
    'error decoding  to *v1alpha1.Config: yaml: construct errors:\n  line 7: cannot construct !!str `hunter2...` into time.Duration',
    'error decoding  to *v1alpha1.Config: yaml: construct errors:\n  line 7: cannot construct !!str `...` into time.Duration',
  ],
  [
    'a value that validation rejects',
    'cluster: {externalCloudProvider: {manifests: ["hunter2 http://u:hunter2@host"]}}',
    '1 error occurred:\n\t* invalid manifest url "hunter2 http://u:hunter2@host": parse "hunter2 http://u:hunter2@host": first path segment in URL cannot contain colon',
    '1 error occurred:\n\t* invalid manifest url "[removed]": parse "[removed]": first path segment in URL cannot contain colon',
  ],
  [
    'values that everyone has',
    'machine: {network: {interfaces: [{interface: eth0, addresses: [10.0.0.1/24]}]}}',
    '* interface "eth0": address 10.0.0.1/24 is not valid in kube-system',
    '* interface "eth0": address 10.0.0.1/24 is not valid in kube-system',
  ],
]
for (const [title, patch, stderr, shown] of refusals)
  test(`the reason of a refusal has no values of a patch: ${title}`, () => {
    const reason = reasonFor(stderr, patch)
    assert.is(reason.trim(), shown)
    assert.not.match(reason, 'hunter2')
  })

test('a patch with machine.install for 1.14 is told what to write instead', () => {
  const text =
    '1 error occurred:\n\t* UnattendedInstallConfig config is incompatible with v1alpha1 config (.machine.install)'
  assert.match(reasonFor(text, 'machine: {install: {wipe: true}}'), 'kind: UnattendedInstallConfig')
})

test('without a text, no config is parsed', () => {
  const texts: string[] = Object.defineProperty([], '0', {
    get: () => assert.unreachable('a config is read'),
  })
  assert.is(withoutValues('\n', texts), '\n')
})

test.run()
