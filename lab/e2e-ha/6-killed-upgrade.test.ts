/** An upgrade of one control plane and a worker: killed, finished, repeated. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { versions } from '../src/versions.ts'
import { cluster, right } from '../e2e/diagnosis.ts'
import { allLeaks } from '../e2e/leaks.ts'
import {
  access,
  kubernetesNodes,
  killWhen,
  labCluster,
  nx,
  removeCluster,
  scriptOf,
  stateDigest,
} from '../e2e/support.ts'
import { nodeVersions, restarts } from '../e2e/upgrades.ts'

const talosUpgraded = { ...right, TALOS_VERSION: versions.talos }
const newest = { ...talosUpgraded, KUBERNETES_VERSION: versions.kubernetes }
const script = scriptOf('scripts/upgrade-talos.ts', '--cluster', 'lab')
const both = (one: string): string[] => [one, one]

test('the cluster runs the old versions', async () => {
  assert.is((await nx('lab:start')).code, 0)
  assert.is((await nx('cluster:up', right)).code, 0)
  assert.equal(await nodeVersions(cluster), both(`v1.13.8 ${versions.kubernetesBefore}`))
})

test('the upgrade of Talos is killed while the control plane restarts', async () => {
  assert.is((await nx('image:warm-installer', talosUpgraded)).code, 0)
  const { signal } = await killWhen(/• Restart labdx-cp1/, script, talosUpgraded)
  assert.is(signal, 'SIGKILL')
})

test('the next run upgrades Talos on the other machines, and Kubernetes without a restart', async () => {
  const since = Date.now()
  const { code, output } = await nx('cluster:upgrade', newest)
  assert.is(code, 0)
  assert.match(output, '✓ Run UPGRADE_GATE_COMMAND before labdx-w1')
  assert.equal(await nodeVersions(cluster), both(`${versions.talos} ${versions.kubernetes}`))
  assert.equal(
    restarts(cluster, since).filter((name) => name !== 'labdx-cp1'),
    ['labdx-w1'],
  )
  const pods = await access(cluster, 'kubectl', 'get', 'pods', '-A', '-o', 'jsonpath={..image}')
  const old = pods.split(' ').filter((image) => image.endsWith(`:${versions.kubernetesBefore}`))
  assert.equal(old, [])
  const nodes = await access(cluster, 'kubectl', 'get', 'nodes', '-o', 'json')
  assert.not.match(nodes, 'unschedulable')
  assert.not.match(nodes, 'talosmith.dev/upgrading-to')
  assert.is((await kubernetesNodes(cluster)).length, 2)
})

test('a second upgrade changes nothing at all', async () => {
  const upgraded = await labCluster(newest)
  const state = await stateDigest(upgraded)
  const since = Date.now()
  assert.is((await nx('cluster:upgrade', newest)).code, 0)
  assert.is(await stateDigest(upgraded), state)
  assert.equal(restarts(cluster, since), [])
})

test('no secret of the upgraded cluster is anywhere but in its own files', async () => {
  assert.is((await nx('bootstrap:backup', newest)).code, 0)
  assert.equal(await allLeaks(), [])
})

test('the cluster is removed', () => removeCluster(newest))

test.run()
