import { rmSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { access, killWhen, nx, run, scriptOf, threeUpgraded } from '../e2e/support.ts'
import { nodeVersions, restarts } from '../e2e/upgrades.ts'
import { cluster, four, talos } from './three.ts'
import { versions } from '../src/versions.ts'
import { faultsFile } from '../src/layout.ts'

const newest = { ...threeUpgraded, TALOS_EXTENSIONS: '' }
const offerBroken = `${faultsFile}.offer-broken`

test('three control planes and a worker are running', async () => {
  rmSync(offerBroken, { force: true })
  assert.is((await nx('lab:start')).code, 0)
  assert.is((await nx('cluster:up', newest)).code, 0)
})

// Its boot sequence fails, which Talos rolls back. One that hangs or panics needs a boot menu, which these guests lack:
// scripts/test/upgrade-way-back.test.ts.
test('a version that does not boot ends the upgrade after one machine, and the cluster stays healthy', async () => {
  writeFileSync(offerBroken, '')
  const since = Date.now()
  const { code, output } = await nx('cluster:upgrade', {
    ...newest,
    TALOS_VERSION: 'v1.13.10',
    // The boot timeout is three minutes instead of seventy.
    TALOS_KERNEL_ARGS: 'lab.boot-timeout=3m',
  })
  rmSync(offerBroken)
  assert.not.equal(code, 0)
  assert.match(output, 'UPGRADE_ROLLED_BACK')
  assert.match(output, /its console ended with/)
  assert.is(restarts(cluster, since).length, 1)
  assert.is((await nx('bootstrap:health', newest)).code, 0)
  assert.equal(await nodeVersions(cluster), four(`${versions.talos} ${versions.kubernetes}`))
})

// Other extensions change the schematic: every machine restarts once more, over all runs.
const script = scriptOf('scripts/upgrade-talos.ts', '--cluster', 'lab')
const killed: RegExp[] = [
  /• Back up etcd/,
  /✓ Back up etcd/,
  /• Install Talos/,
  /✓ Install Talos/,
  /• Drain/,
  /✓ Drain/,
  /• Restart/,
  /waiting for labha-\w+ to come back/,
  /✓ Restart/,
  /• Verify/,
  /✓ Verify/,
  /✓ Update the machine config of labha-/,
]
test('the image with other extensions is built', async () => {
  assert.is((await nx('image:warm-installer', threeUpgraded)).code, 0)
})
for (const when of killed)
  test(`an upgrade is killed at ${when.source}`, async () => {
    const { signal } = await killWhen(when, script, threeUpgraded)
    assert.is(signal, 'SIGKILL')
  })
test('the next run completes what was interrupted', async () => {
  assert.is((await nx('cluster:upgrade', threeUpgraded)).code, 0)
  const nodes = await access(cluster, 'kubectl', 'get', 'nodes', '-o', 'json')
  assert.not.match(nodes, 'unschedulable')
  assert.not.match(nodes, 'talosmith.dev/upgrading-to')
  for (const { name } of cluster.nodes)
    assert.match(await talos(name, 'get', 'extensions'), 'nfs-utils')
  assert.equal(await nodeVersions(cluster), four(`${versions.talos} ${versions.kubernetes}`))
  const { code } = await run(scriptOf('scripts/plan.ts', '--cluster', 'lab'), threeUpgraded)
  assert.is(code, 0)
})

test.run()
