import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { local, Problem, silentLog, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { checkTalosconfig } from '../../src/secrets/access.ts'
import {
  checkGeneratedFiles,
  describeRemovedManifests,
  forgetRemovedManifests,
  checkNewConfigs,
  observeGeneratedFiles,
  writeConfigs,
  writeTalosconfig,
} from '../../src/configure/generated-files.ts'
import { configFile } from '../../src/config/machine-config.ts'
import { createSecrets } from '../../src/generated/create-secrets.ts'
import { readSecrets } from '../../src/secrets/secrets.ts'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { hasTalosctl } from '@talosmith/clients/testing'

const versions = { TALOS_VERSION: 'v1.13.9', KUBERNETES_VERSION: 'v1.33.0' }
const root = temporaryFolder('home')
const cluster = testCluster(versions, root)
const test = suite('with the real talosctl')
const it = (await hasTalosctl(cluster)) ? test : test.skip
const openOnce = await hasTalosctl(cluster).then((yes) => (yes ? openTalosctl(cluster) : undefined))

/** talosctl, with the verbs of every call written down. */
function watched(talosctl: Talosctl, calls: string[]): Talosctl {
  return {
    ...talosctl,
    offline: (...args) => (calls.push(args.slice(0, 2).join(' ')), talosctl.offline(...args)),
  }
}

async function observe(of: Cluster, calls: string[] = []) {
  if (openOnce === undefined) throw new Error('no talosctl')
  return observeGeneratedFiles(of, watched(openOnce, calls), silentLog)
}

/** Observes the generated files and writes the configs, as bootstrap:configure does. */
async function settle(of: Cluster): Promise<void> {
  const { desired, digest } = await observe(of)
  if (desired === undefined) throw new Error('no configs')
  await writeConfigs(of, desired, digest)
}

/** A cluster with the same secrets and other settings. */
const with_ = (over: Record<string, string>): Cluster => testCluster({ ...versions, ...over }, root)
const read = (name: string): string => readFileSync(join(cluster.generated, name), 'utf8')
const problem = async (work: Promise<unknown>): Promise<Problem> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof Problem) return error
  throw new Error(`no Problem but ${String(error)}`)
}

it('a new cluster has no generated files', async () => {
  const generated = await observe(cluster)
  assert.is(generated.secrets, undefined)
  assert.is(generated.desired, undefined)
  assert.is(generated.talosconfig, 'missing')
  assert.is(generated.stale.length, 3)
})

it('secrets are made once, private, and known by their owner', async () => {
  if (openOnce) await createSecrets(cluster, openOnce)
  const secrets = await readSecrets(cluster)
  assert.match(secrets?.talosCa ?? '', /BEGIN CERTIFICATE/)
  assert.match(secrets?.kubernetesCa ?? '', /BEGIN CERTIFICATE/)
  assert.is(statSync(join(cluster.generated, 'secrets.yaml')).mode & 0o777, 0o600)
  assert.is(statSync(cluster.generated).mode & 0o777, 0o700)
  assert.equal(readdirSync(join(cluster.generated, 'work')), [])
})

it('configs are made, valid, private and equal for machines of one role', async () => {
  await settle(cluster)
  for (const node of cluster.nodes) {
    const path = join(cluster.generated, configFile(node))
    assert.is(statSync(path).mode & 0o777, 0o600)
    const [main] = parseAllDocuments(readFileSync(path, 'utf8'))
    assert.is(main?.getIn(['machine', 'type']), node.role)
    assert.is(main?.getIn(['machine', 'install', 'disk']), '/dev/vda')
    assert.is(main?.getIn(['machine', 'install', 'image']), cluster.image.installer)
    assert.is(main?.getIn(['machine', 'kubelet', 'image']), 'ghcr.io/siderolabs/kubelet:v1.33.0')
  }
  assert.is(read('configs/home-w1.yaml'), read('configs/home-w2.yaml'))
  assert.match(read('configs/home-cp1.yaml'), 'kind: WatchdogTimerConfig')
})

it('a second look runs no process: nothing has changed', async () => {
  const calls: string[] = []
  const generated = await observe(cluster, calls)
  assert.equal(generated.stale, [])
  assert.equal(calls, [])
})

it('the same inputs give the same bytes', async () => {
  const before = read('configs/home-cp1.yaml')
  writeFileSync(join(cluster.generated, 'configs', 'made-of.json'), '{}')
  const calls: string[] = []
  const generated = await observe(cluster, calls)
  assert.is(generated.desired?.get('home-cp1'), before)
  assert.equal(generated.stale, [])
  // One config for the control plane, one for both workers.
  assert.equal(calls, [
    'gen config',
    'machineconfig patch',
    'validate --mode=cloud',
    'machineconfig patch',
    'validate --mode=cloud',
  ])
  await settle(cluster)
})

it('a config changed by hand is regenerated', async () => {
  const path = join(cluster.generated, 'configs', 'home-w1.yaml')
  writeFileSync(path, read('configs/home-w1.yaml').replace('/dev/vda', '/dev/sda'))
  assert.equal((await observe(cluster)).stale, ['home-w1'])
  await settle(cluster)
  assert.not.match(read('configs/home-w1.yaml'), '/dev/sda')
})

it('the talosconfig knows all control planes and is good for a year', async () => {
  const three = with_({ CONTROL_PLANE_COUNT: '3' })
  if (openOnce) await writeTalosconfig(three, openOnce)
  const secrets = await readSecrets(three)
  if (secrets === undefined) throw new Error('no secrets')
  assert.is(await checkTalosconfig(three, secrets), undefined)
  assert.match(read('talosconfig'), '10.0.0.72')
  assert.is(await checkTalosconfig(cluster, secrets), 'of another endpoint')
  const inElevenMonths = Date.now() + 336 * 24 * 3600 * 1000
  assert.is(await checkTalosconfig(three, secrets, inElevenMonths), 'expiring')
  assert.is(await checkTalosconfig(three, { ...secrets, talosCa: 'other' }), 'of another CA')
  writeFileSync(join(cluster.generated, 'talosconfig'), 'context: [')
  assert.is(await checkTalosconfig(three, secrets), 'unreadable')
})

it("the user's patches are merged in order, and changing one regenerates only its machines' configs", async () => {
  mkdirSync(cluster.patchesDir, { recursive: true })
  const patch = (name: string, labels: string): void =>
    writeFileSync(join(cluster.patchesDir, name), `machine:\n  nodeLabels: {${labels}}\n`)
  patch('all.yaml', 'zone: all, only: all')
  patch('worker.yaml', 'zone: worker')
  patch('home-w2.yaml', 'zone: w2')
  await settle(cluster)
  const zone = (name: string): unknown =>
    parseAllDocuments(read(`configs/${name}.yaml`))[0]?.getIn(['machine', 'nodeLabels', 'zone'])
  assert.equal(['home-cp1', 'home-w1', 'home-w2'].map(zone), ['all', 'worker', 'w2'])
  patch('home-w2.yaml', 'zone: other')
  assert.equal((await observe(cluster)).stale, ['home-w2'])
  await settle(cluster)
})

const badPatches: [string, string, RegExp][] = [
  ['an unknown field', 'machine:\n  foo: bar\n', /unknown keys: machine\.foo$/m],
  ['an unknown document', 'apiVersion: v1alpha1\nkind: NoSuchConfig\n', /NoSuchConfig/],
  [
    'both forms of the host name',
    'machine:\n  network: {hostname: a}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: b\n',
    /hostname/,
  ],
  ['no YAML', 'machine: [\n', /yaml|did not find|line \d/i],
  [
    'a JSON patch, which several documents do not take',
    '[{"op": "add", "path": "/machine/x", "value": 1}]',
    /JSON6902|JSON patch/i,
  ],
]
for (const [title, text, because] of badPatches)
  it(`a patch with ${title} is refused before anything is written`, async () => {
    const before = read('configs/home-w1.yaml')
    writeFileSync(join(cluster.patchesDir, 'worker-bad.yaml'), text)
    const { code, because: why, hint } = await problem(observe(cluster))
    writeFileSync(join(cluster.patchesDir, 'worker-bad.yaml'), '# nothing\n')
    assert.is(code, 'CONFIG_INVALID')
    assert.match(why ?? '', because)
    assert.match(hint ?? '', 'worker-bad.yaml')
    assert.not.match(why ?? '', cluster.generated)
    assert.is(read('configs/home-w1.yaml'), before)
  })

it('a bad patch is found before there are secrets, and nothing is made for it that stays', async () => {
  if (openOnce === undefined) return
  const fresh = testCluster({ ...versions, CLUSTER_NAME: 'fresh' }, root)
  mkdirSync(fresh.patchesDir, { recursive: true })
  writeFileSync(join(fresh.patchesDir, 'all-bad.yaml'), 'machine:\n  foo: bar\n')
  assert.is((await problem(checkGeneratedFiles(fresh, openOnce))).code, 'CONFIG_INVALID')
  writeFileSync(join(fresh.patchesDir, 'all-bad.yaml'), 'machine:\n  nodeLabels: {a: b}\n')
  writeFileSync(join(fresh.patchesDir, 'fresh-w9.yaml'), 'machine: {}\n')
  const [warning, ...others] = await checkGeneratedFiles(fresh, openOnce)
  assert.match(warning ?? '', 'fresh-w9.yaml is not used')
  assert.equal(others, [])
  const subnets =
    'cluster:\n  network: {podSubnets: [10.0.0.0/16], serviceSubnets: [10.112.0.0/16]}\n'
  writeFileSync(join(fresh.patchesDir, 'all-bad.yaml'), subnets)
  const overlap = await problem(checkGeneratedFiles(fresh, openOnce))
  assert.is(overlap.code, 'NETWORKS_OVERLAP')
  assert.match(overlap.message, 'NETWORK_CIDR 10.0.0.0/24 overlaps the pod network 10.0.0.0/16')
  writeFileSync(join(fresh.patchesDir, 'unknown.yaml'), 'machine: {}\n')
  assert.is((await problem(checkGeneratedFiles(fresh, openOnce))).code, 'PATCH_NAME_UNKNOWN')
  assert.equal(readdirSync(fresh.generated), ['work'])
})

it('checking the generated files runs no process while nothing has changed', async () => {
  if (openOnce === undefined) return
  const calls: string[] = []
  await settle(cluster)
  assert.equal(await checkGeneratedFiles(cluster, watched(openOnce, calls)), [])
  assert.equal(calls, [])
  writeFileSync(join(cluster.patchesDir, 'worker-bad.yaml'), 'machine:\n  foo: bar\n')
  assert.is(
    (await problem(checkGeneratedFiles(cluster, watched(openOnce, calls)))).code,
    'CONFIG_INVALID',
  )
  writeFileSync(join(cluster.patchesDir, 'worker-bad.yaml'), '# nothing\n')
})

it('patches that are gone since the last configs are a problem, and nothing is written', async () => {
  const before = read('configs/home-w1.yaml')
  renameSync(cluster.patchesDir, `${cluster.patchesDir}.aside`)
  const { code, because } = await problem(observe(cluster))
  if (openOnce === undefined) throw new Error('no talosctl')
  // Before a regeneration of the secrets, which does not use the configs that exist.
  const regenerated = await problem(checkNewConfigs(cluster, openOnce))
  renameSync(`${cluster.patchesDir}.aside`, cluster.patchesDir)
  assert.is(regenerated.code, 'PATCHES_LOST')
  assert.is(code, 'PATCHES_LOST')
  assert.match(because ?? '', 'all.yaml, home-w2.yaml')
  assert.is(read('configs/home-w1.yaml'), before)
})

it("the user's manifests are in the configs of control planes, and what becomes of changed ones is reported", async () => {
  if (openOnce === undefined) return
  mkdirSync(cluster.manifestsDir, { recursive: true })
  const put = (name: string, data: string): void =>
    writeFileSync(
      join(cluster.manifestsDir, name),
      `# ${name}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}\ndata: {a: ${data}}\n`,
    )
  put('b.yaml', 'one')
  put('a.yml', 'one')
  assert.equal((await observe(cluster)).stale, ['home-cp1'])
  await settle(cluster)
  const inline = (): { name: string; contents: string }[] =>
    parseAllDocuments(read('configs/home-cp1.yaml'))[0]?.toJS().cluster.inlineManifests
  assert.equal(
    inline().map(({ name }) => name),
    ['a.yml', 'b.yaml'],
  )
  assert.match(inline()[1]?.contents ?? '', '# b.yaml\napiVersion: v1\n')
  assert.not.match(read('configs/home-w1.yaml'), 'ConfigMap')
  assert.is(statSync(join(cluster.generated, 'configs/home-cp1.yaml')).mode & 0o777, 0o600)
  assert.equal(await checkGeneratedFiles(cluster, openOnce), [])

  put('b.yaml', 'two')
  unlinkSync(join(cluster.manifestsDir, 'a.yml'))
  const [changed, removed, ...others] = await checkGeneratedFiles(cluster, openOnce)
  assert.match(changed ?? '', /^env\/[^/]+\/manifests\/b\.yaml has changed: .* kubectl apply/)
  assert.match(removed ?? '', /a\.yml is gone: its objects stay .* upgrade deletes them/)
  assert.equal(others, [])
  await settle(cluster)
  await settle(cluster)
  // Until a Kubernetes upgrade, which deletes its objects.
  assert.equal(await checkGeneratedFiles(cluster, openOnce), [removed])
  assert.equal(await describeRemovedManifests(cluster), [removed])
  await forgetRemovedManifests(cluster)
  assert.equal(await describeRemovedManifests(cluster), [])
  assert.equal(await checkGeneratedFiles(cluster, openOnce), [])
  // With another name only, it is not gone.
  renameSync(join(cluster.manifestsDir, 'b.yaml'), join(cluster.manifestsDir, 'c.yaml'))
  assert.equal(await checkGeneratedFiles(cluster, openOnce), [])

  renameSync(cluster.manifestsDir, `${cluster.manifestsDir}.aside`)
  assert.is((await problem(observe(cluster))).code, 'MANIFESTS_LOST')
  assert.is((await problem(checkNewConfigs(cluster, openOnce))).code, 'MANIFESTS_LOST')
  mkdirSync(cluster.manifestsDir)
  await settle(cluster)
  assert.equal(inline() ?? [], [])
})

it('a record that cannot be read is not taken for none, by which lost patches would go unnoticed', async () => {
  const record = join(cluster.generated, 'configs/made-of.json')
  renameSync(record, `${record}.aside`)
  mkdirSync(record)
  const { code } = await problem(observe(cluster))
  rmdirSync(record)
  renameSync(`${record}.aside`, record)
  assert.is(code, 'FILE_UNREADABLE')
})

it('an empty patch changes nothing', async () => {
  assert.equal((await observe(cluster)).stale, [])
})

it('configs of machines that no longer exist are removed', async () => {
  await settle(cluster)
  await settle(with_({ WORKER_COUNT: '1' }))
  assert.not.ok(existsSync(join(cluster.generated, 'configs', 'home-w2.yaml')))
})

const contracts: [string, string][] = [
  ['v1.9.6', 'v1.31.0'],
  ['v1.10.9', 'v1.32.0'],
  ['v1.11.6', 'v1.33.0'],
  ['v1.12.11', 'v1.34.0'],
  ['v1.13.9', 'v1.35.0'],
]
const shapes = {
  'a VIP': { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60', WORKER_COUNT: '2' },
  'no workers': { CONTROL_PLANE_COUNT: '1', WORKER_COUNT: '0' },
}
for (const [talos, kubernetes] of contracts)
  for (const [title, shape] of Object.entries(shapes)) {
    if (title === 'no workers' && !['v1.11.6', 'v1.13.9'].includes(talos)) continue
    it(`talosctl validates what is made for ${talos} with ${title}`, async () => {
      const of = with_({ ...shape, TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes })
      const { desired } = await observe(of)
      const config = desired?.get('home-cp1') ?? ''
      const isNew = talos === 'v1.12.11' || talos === 'v1.13.9'
      assert.is(/kind: HostnameConfig/.test(config), isNew)
      assert.is(/kind: Layer2VIPConfig/.test(config), isNew && title === 'a VIP')
      assert.is(/interface: eth0/.test(config), !isNew && title === 'a VIP')
      assert.is(/allowSchedulingOnControlPlanes: true/.test(config), title === 'no workers')
      assert.match(config, of.image.installer)
    })
  }

it('secrets of another cluster are refused', async () => {
  const other = testCluster({ ...versions, CLUSTER_NAME: 'other' }, root)
  mkdirSync(other.generated, { recursive: true, mode: 0o700 })
  for (const name of ['secrets.yaml', 'secrets.owner.json'])
    writeFileSync(join(other.generated, name), read(name), { mode: 0o600 })
  const { code, because } = await problem(readSecrets(other))
  assert.is(code, 'SECRETS_OF_ANOTHER_CLUSTER')
  assert.match(because ?? '', 'cluster home')
})

it('secrets that were changed since they were made are refused', async () => {
  const text = read('secrets.yaml')
  writeFileSync(join(cluster.generated, 'secrets.yaml'), `${text}# changed\n`)
  assert.is((await problem(readSecrets(cluster))).code, 'SECRETS_OF_ANOTHER_CLUSTER')
  writeFileSync(join(cluster.generated, 'secrets.yaml'), text)
})

it('a file without secrets is refused, and none of it is quoted', async () => {
  const other = testCluster({ ...versions, CLUSTER_NAME: 'cut' }, root)
  mkdirSync(other.generated, { recursive: true, mode: 0o700 })
  writeFileSync(join(other.generated, 'secrets.yaml'), 'certs: {os: {crt: TOPSECRET', {
    mode: 0o600,
  })
  const found = await problem(readSecrets(other))
  assert.is(found.code, 'SECRETS_UNREADABLE')
  assert.not.match(JSON.stringify(found), 'TOPSECRET')
})

it('no secret was ever an argument or stayed in the work folder', async () => {
  assert.equal(readdirSync(join(cluster.generated, 'work')), [])
  const { stdout } = await local.$`find ${root} -type f -perm /077`
  const open = stdout.split('\n').filter((path) => path !== '' && !path.includes('/env/'))
  assert.equal(
    open.filter((path) => !path.endsWith('/configs/made-of.json')),
    [],
  )
})

test.run()
