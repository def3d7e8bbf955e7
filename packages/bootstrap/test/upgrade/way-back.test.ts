import { CommandFailed, Problem, silentLog } from '@talosmith/core'
import { logLines, problemOf, recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { UpgradeContext } from '../../src/restart/context.ts'
import { BootStuck, bootStuck } from '../../src/restart/restart.ts'
import {
  failedAnnotation,
  readFailedVersion,
  renderFailedVersion,
} from '../../src/restart/upgrade-annotation.ts'
import { refuseFailedVersions } from '../../src/upgrade/failed-version.ts'
import { isKept } from '../../src/upgrade/kept.ts'
import type { ObservedMachine } from '../../src/upgrade/observe-upgrade.ts'
import { returnToPrevious } from '../../src/upgrade/way-back.ts'

const cluster = testCluster({ NETWORK_CIDR: '127.13.31.0/24', TALOS_VERSION: 'v1.13.9' })
const [node] = cluster.nodes
assert.ok(node)
const schematic = cluster.schematic.id
const failed = { version: 'v1.13.9', schematic, kind: 'panics' } as const

for (const [what, next, selected, runs, expected] of [
  ['the new version is the default', 'talos-v1.13.9.efi', 'talos-v1.13.8.efi', 'v1.13.8', false],
  ['the previous one is', 'talos-v1.13.8.efi', 'talos-v1.13.8.efi', 'v1.13.8', true],
  [
    'Talos rolled back after a cold start',
    'talos-v1.13.8.efi',
    'talos-v1.13.9.efi',
    'v1.13.8',
    true,
  ],
  ['the new one is the second of its version', 'talos-v1.13.9~1.efi', 'x', 'v1.13.8', false],
  ['a longer version is no sign of a shorter one', 'talos-v1.13.90.efi', 'x', 'v1.13.8', true],
  ['other extensions, not kept', 'talos-v1.13.9~1.efi', 'talos-v1.13.9.efi', 'v1.13.9', false],
  ['other extensions, kept', 'talos-v1.13.9.efi', 'talos-v1.13.9.efi', 'v1.13.9', true],
] as const)
  test(`whether the previous version stays: ${what}`, () => {
    assert.is(isKept({ default: next, selected }, { talosVersion: runs }, failed), expected)
  })

test('a version that failed is read as it was written', () => {
  for (const one of [failed, { ...failed, schematic: undefined, kind: undefined }]) {
    const annotations = { [failedAnnotation]: renderFailedVersion(one) }
    assert.equal(readFailedVersion({ metadata: { name: 'x', annotations } }), one)
  }
  assert.is(readFailedVersion({ metadata: { name: 'x' } }), undefined)
})

const step = { kind: 'talos', from: 'v1.13.8', to: 'v1.13.9' } as const
const machineWith = (over: Partial<ObservedMachine>): ObservedMachine => ({
  ...{ node, config: '', kubelet: '', kubernetes: '', begun: undefined },
  facts: {
    talosVersion: 'v1.13.8',
    schematic,
    extensions: [],
    platform: 'nocloud',
    machine: undefined,
  },
  failed: { ...failed, on: 'node-of-cp1' },
  ...over,
})

test('a version that failed on a machine is refused, with what lets it through', async () => {
  const refuse = (): void => refuseFailedVersions(cluster, [step], [machineWith({})])
  const problem = await problemOf(Promise.resolve().then(refuse))
  assert.is(problem.code, 'VERSION_FAILED')
  assert.match(problem.message, 'home-cp1 does not boot Talos v1.13.9')
  assert.match(problem.because ?? '', 'its kernel panicked')
  assert.is(problem.now, 'nothing was changed')
  assert.match(problem.hint ?? '', `kubectl annotate node node-of-cp1 ${failedAnnotation}-`)
})

for (const [what, over] of [
  ['another version failed', { failed: { ...failed, version: 'v1.13.10', on: 'x' } }],
  ['another schematic failed', { failed: { ...failed, schematic: 'f'.repeat(64), on: 'x' } }],
  ['none failed', { failed: undefined }],
  [
    'only the version of the user’s own installer is known',
    { ownInstaller: 'registry/own:v1.13.9' },
  ],
] as const)
  test(`a version is not refused: ${what}`, () => {
    refuseFailedVersions(cluster, [step], [machineWith(over)])
  })

const hosts = async () => [
  recordingHost({ '/console.log/': logLines('home-cp1', 'Kernel panic - not syncing: x') }),
]
const failure = { kind: 'panics', line: 'Kernel panic - not syncing: x' } as const
const refused = new Problem('BOOT_PREVIOUS_REFUSED', 'home-cp1 was not reset', {
  because: 'it boots by BIOS',
  now: 'nothing was changed',
  hint: 'choose the other entry on its screen',
})
const unknown = new Problem('BOOT_MENU_UNKNOWN', 'no previous version was chosen on home-cp1', {
  because: 'the menu has no other version than the default one',
  now: 'home-cp1 was reset',
  hint: 'choose it by hand',
})
const silent = new CommandFailed('kvm1', 'virsh reset home-cp1', {
  ...{ exitCode: 1, stdout: '' },
  stderr: 'error: no route to host',
})

for (const [what, error, now, hint] of [
  [
    'it boots by BIOS',
    refused,
    /^home-cp1 is down and stays down; it is cordoned/,
    /^boot its previous/,
  ],
  [
    'no route to host',
    silent,
    /^home-cp1 is down and stays down; it is cordoned/,
    /^boot its previous/,
  ],
  [
    'has no other version',
    unknown,
    /^home-cp1 was reset; home-cp1 is cordoned/,
    /^choose it by hand\n/,
  ],
] as const)
  test(`where its host cannot return a machine, the user is told how: ${what}`, async () => {
    const stuck = await bootStuck({ cluster, hosts }, node, failed, failure)
    const boot = (): Promise<void> => Promise.reject(error)
    const context = { cluster, hosts, log: silentLog, previous: { boot } }
    const problem = await returnToPrevious(
      context as unknown as UpgradeContext,
      { node, target: failed, kubernetes: '' },
      stuck,
    )
    assert.is(problem.code, 'UPGRADE_UNFINISHED')
    assert.match(problem.because ?? '', 'its kernel panicked')
    assert.match(problem.because ?? '', what)
    assert.match(problem.now ?? '', now)
    assert.match(problem.hint ?? '', hint)
    assert.match(problem.hint ?? '', /vm:boot-previous --machine home-cp1/)
  })

test('without the means, the user is told how', async () => {
  const stuck = await bootStuck({ cluster, hosts }, node, failed, failure)
  assert.ok(stuck instanceof BootStuck)
  const context = { cluster, hosts, log: silentLog } as unknown as UpgradeContext
  assert.is(await returnToPrevious(context, { node, target: failed, kubernetes: '' }, stuck), stuck)
})

test.run()
