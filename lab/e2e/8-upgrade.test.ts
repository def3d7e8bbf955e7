import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  access,
  fingerprint,
  killWhen,
  kubernetesNodes,
  labCluster,
  nx,
  scriptOf,
  threeControlPlanes,
  threeUpgraded,
  type Finished,
  type Overrides,
} from './support.ts'
import { faultsFile } from '../src/layout.ts'
import { watch } from './hammer.ts'

const before = threeControlPlanes
const after = { ...before, TALOS_VERSION: 'v1.13.9' }
const newest = { ...after, KUBERNETES_VERSION: 'v1.36.3' }
const cluster = await labCluster(before)
const upgraded = await labCluster(newest)
const offerBroken = `${faultsFile}.offer-broken`

/** What each node says it runs: Talos and Kubernetes. */
async function versions(): Promise<string[]> {
  const nodes = await kubernetesNodes(cluster)
  return nodes.map(
    ({ status: { nodeInfo } }) =>
      `${/v[\d.]+/.exec(nodeInfo.osImage)?.[0]} ${nodeInfo.kubeletVersion}`,
  )
}
const four = (one: string): string[] => [one, one, one, one]

async function talos(node: string, ...args: string[]): Promise<string> {
  const address = cluster.nodes.find(({ name }) => name === node)?.address ?? ''
  return access(cluster, 'talosctl', '-e', address, '-n', address, ...args)
}

async function leader(): Promise<string> {
  const status = await talos('labha-cp1', 'etcd', 'status')
  const members = await talos('labha-cp1', 'etcd', 'members')
  const ids = [...status.matchAll(/\b[0-9a-f]{16}\b/g)].map(([id]) => id)
  // The member itself comes first, its leader second.
  return new RegExp(`${ids[1]}\\s+(\\S+)`).exec(members)?.[1] ?? ''
}

/** Who was restarted, in order, as the records of the last runs say. */
function restarts(since: number): string[] {
  const folder = join(cluster.generated, 'runs')
  return readdirSync(folder)
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as { at: string; event: string; text?: string })
    .filter(({ at, event }) => event === 'start' && Date.parse(at) >= since)
    .flatMap(({ text }) => /^Restart (\S+)$/.exec(text ?? '')?.[1] ?? [])
}

async function upgrade(overrides: Overrides): Promise<Finished> {
  return nx('cluster:upgrade', overrides)
}

test('three control planes and a worker run the old version', async () => {
  assert.is((await nx('lab:start')).code, 0)
  rmSync(offerBroken, { force: true })
  assert.is((await nx('cluster:up', before)).code, 0)
  assert.equal(await versions(), four('v1.13.8 v1.36.2'))
})

test('a stopped member of etcd is named, and nothing is restarted', async () => {
  const since = Date.now()
  await talos('labha-cp3', 'service', 'etcd', 'stop')
  const { code, output } = await upgrade({ ...after, HEALTH_TIMEOUT: '30s' })
  await talos('labha-cp3', 'service', 'etcd', 'start')
  assert.not.equal(code, 0)
  assert.match(output, 'GATE_CLOSED')
  assert.match(output, /labha-cp3: its etcd does not answer/)
  assert.equal(restarts(since), [])
})

test('a version that does not boot ends the upgrade after one machine, and the cluster stays well', async () => {
  writeFileSync(offerBroken, '')
  const since = Date.now()
  const { code, output } = await upgrade({
    ...before,
    TALOS_VERSION: 'v1.13.10',
    // A boot that never ends is given up after three minutes instead of seventy.
    TALOS_KERNEL_ARGS: 'lab.boot-timeout=3m',
  })
  rmSync(offerBroken)
  assert.not.equal(code, 0)
  assert.match(output, 'UPGRADE_ROLLED_BACK')
  assert.match(output, /its console ended with/)
  assert.is(restarts(since).length, 1)
  assert.is((await nx('bootstrap:health', before)).code, 0)
  assert.equal(await versions(), four('v1.13.8 v1.36.2'))
})

test('the upgrade restarts one control plane at a time, the leader last, and no write loses its quorum', async () => {
  const led = await leader()
  const since = Date.now()
  const watched = watch(cluster)
  const { code } = await upgrade(after)
  const { writes, lostQuorum, mostAway, samples } = await watched.stop()
  assert.is(code, 0)
  assert.equal(lostQuorum, [])
  assert.ok(mostAway <= 1, `${mostAway} control planes were away at once`)
  assert.ok(writes > samples / 2, `${writes} writes of ${samples}`)
  const order = restarts(since)
  assert.is(order.length, 4)
  assert.equal(order.slice(2), [led, 'labha-w1'])
  assert.equal(await versions(), four('v1.13.9 v1.36.2'))
})

test('Kubernetes follows, every component of it, without a machine restarted', async () => {
  const since = Date.now()
  assert.is((await upgrade(newest)).code, 0)
  assert.equal(await versions(), four('v1.13.9 v1.36.3'))
  const pods = await access(cluster, 'kubectl', 'get', 'pods', '-A', '-o', 'jsonpath={..image}')
  assert.is(pods.split(' ').filter((image) => image.endsWith(':v1.36.2')).length, 0)
  assert.equal(restarts(since), [])
})

test('a second upgrade changes nothing at all', async () => {
  const state = await fingerprint(upgraded)
  const since = Date.now()
  assert.is((await upgrade(newest)).code, 0)
  assert.is(await fingerprint(upgraded), state)
  assert.equal(restarts(since), [])
})

// Other extensions mean another schematic: every machine restarts once more, whatever run it is in.
const script = scriptOf('packages/bootstrap/scripts/upgrade-talos.ts', '--cluster', 'lab')
const killed: RegExp[] = [
  /• Take a snapshot/,
  /✓ Take a snapshot/,
  /• Install Talos/,
  /✓ Install Talos/,
  /• Drain/,
  /✓ Drain/,
  /• Restart/,
  /waiting for labha-\w+ to come back/,
  /✓ Restart/,
  /• Prove/,
  /✓ Prove/,
  /✓ Bring labha-/,
]
test('the image of other extensions is made', async () => {
  assert.is((await nx('image:warm-installer', threeUpgraded)).code, 0)
})
for (const when of killed)
  test(`an upgrade is ended by SIGKILL at ${when.source}`, async () => {
    const { signal } = await killWhen(when, script, threeUpgraded)
    assert.is(signal, 'SIGKILL')
  })
test('the next run finishes what was killed', async () => {
  assert.is((await upgrade(threeUpgraded)).code, 0)
  const nodes = await access(cluster, 'kubectl', 'get', 'nodes', '-o', 'json')
  assert.not.match(nodes, 'unschedulable')
  assert.not.match(nodes, 'talosmith.dev/upgrading-to')
  for (const { name } of cluster.nodes)
    assert.match(await talos(name, 'get', 'extensions'), 'nfs-utils')
})

test.run()
