/**
 * Accidents around a cluster whose machines are off: each is refused before anything changes. Undone,
 * `cluster:start` ends healthy with the same certificate authorities, data and disks.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { assertRefused, stateOf } from './refused.ts'
import { secondCheckout } from './second-checkout.ts'
import {
  access,
  labCluster,
  nx,
  run,
  scriptOf,
  start,
  withHost,
  type Overrides,
} from './support.ts'

const cluster = await labCluster()
const pool = '/var/lib/libvirt/images'
const inGenerated = (name: string): string => join(cluster.generated, name)
const away = `${cluster.generated}.away`
const inEnv = (name: string): string => join(projectRoot, 'env', name)
const nonsense = inEnv('lab/patches/all-nonsense.yaml')
const [uri = ''] = cluster.settings.LIBVIRT_URI

interface Accident {
  readonly title: string
  /** The code of the refusal. */
  readonly code: string
  /** What the refusal names besides. */
  readonly names?: string
  readonly settings?: Overrides
  /** By default cluster:up. */
  readonly target?: string
  readonly make?: () => Promise<unknown>
  readonly undo?: () => Promise<unknown>
}

const onHost = (script: string): Promise<unknown> =>
  withHost(cluster, ({ $ }) => $({ timeoutMs: 60_000 })`bash -c ${script}`)

const accidents: readonly Accident[] = [
  {
    title: 'another checkout, which has no secrets and no files of this cluster',
    code: 'VM_NOT_OURS',
    make: async () => renameSync(cluster.generated, away),
    undo: async () => {
      rmSync(cluster.generated, { recursive: true, force: true })
      renameSync(away, cluster.generated)
    },
  },
  {
    title: "a pool whose file system isn't mounted",
    code: 'POOL_EMPTY',
    make: () => onHost(`mv ${pool} ${pool}.away && mkdir -m 711 ${pool}`),
    undo: () => onHost(`rm -rf ${pool} && mv ${pool}.away ${pool}`),
  },
  {
    title: 'one lost disk',
    code: 'DISK_LOST',
    make: () => onHost(`mv ${pool}/lab-w1.qcow2 ${pool}/../lab-w1.away`),
    undo: () => onHost(`mv ${pool}/../lab-w1.away ${pool}/lab-w1.qcow2`),
  },
  {
    title: 'a mistyped offset',
    code: 'ADDRESS_FIXED',
    settings: { WORKER_IP_OFFSET: '90' },
  },
  {
    title: 'a mistyped MAC prefix',
    code: 'ADDRESS_FIXED',
    settings: { MAC_PREFIX: '52:54:00:aa:bb' },
  },
  {
    title: 'a second env file of the same cluster',
    code: 'CLUSTER_NAME_TWICE',
    make: async () => copyFileSync(inEnv('lab.env'), inEnv('twin.env')),
    undo: async () => rmSync(inEnv('twin.env')),
  },
  {
    title: 'the same host by two names',
    code: 'HOST_TWICE',
    names: 'remove one of them from LIBVIRT_URI',
    // The default port makes another name of it.
    settings: { LIBVIRT_URI: `${uri},${uri.replace('/system', ':22/system')}` },
  },
  {
    title: 'patches that stayed behind when their folder was renamed',
    code: 'PATCHES_LOST',
    names: 'mv env/gone/patches env/lab/patches',
    make: async () => renameSync(inEnv('lab'), inEnv('gone')),
    undo: async () => renameSync(inEnv('gone'), inEnv('lab')),
  },
  {
    title: 'a snapshot by another tool, on a disk that is to grow',
    code: 'DISK_NOT_OURS',
    settings: { WORKER_DISK_GIB: '11' },
    make: () =>
      onHost(`virsh dumpxml --inactive lab-w1 > /tmp/lab-w1.xml
virsh snapshot-create-as lab-w1 before --disk-only --diskspec vda,file=${pool}/lab-w1.before`),
    undo: () =>
      onHost(`virsh snapshot-delete lab-w1 before --metadata
virsh define /tmp/lab-w1.xml && rm ${pool}/lab-w1.before /tmp/lab-w1.xml`),
  },
  {
    title: 'a regeneration whose machine configs Talos would reject',
    code: 'CONFIG_INVALID',
    target: 'cluster:regenerate-secrets',
    settings: { CONFIRM: 'lab' },
    make: async () => writeFileSync(nonsense, 'machine:\n  nonsense: {a: b}\n'),
    undo: async () => rmSync(nonsense),
  },
  {
    title: 'a folder of manifests with a misspelt name',
    code: 'FOLDER_UNKNOWN',
    make: async () => mkdirSync(inEnv('lab/manifest')),
    undo: async () => rmSync(inEnv('lab/manifest'), { recursive: true }),
  },
  // Last: it is noticed after machines were started.
  {
    title: 'a lost secrets.yaml',
    code: 'SECRETS_LOST',
    make: async () => renameSync(inGenerated('secrets.yaml'), `${away}-secrets`),
    undo: async () => renameSync(`${away}-secrets`, inGenerated('secrets.yaml')),
  },
]

/** The CA certificates of the Talos API and the Kubernetes API, as the access files have them. */
function authorities(): unknown[] {
  const files = ['talosconfig', 'kubeconfig'].map((name) => readFileSync(inGenerated(name), 'utf8'))
  const found = files.map(
    (text) => /^\s+(?:ca|certificate-authority-data): (\S+)$/m.exec(text)?.[1],
  )
  assert.ok(found.every(Boolean))
  return found
}

let disks = ''
let cas: unknown[] = []
const disksOf = async (): Promise<string> =>
  (await withHost(cluster, ({ $ }) => $`ls -i ${pool} | grep -E ${'lab-(cp|w)[0-9]+\\.qcow2'}`))
    .stdout

test('a cluster with data is shut down', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  await access(cluster, 'kubectl', 'create', 'configmap', 'precious')
  assert.is((await run(scriptOf('scripts/stop.ts', '--cluster', 'lab', '--force'))).code, 0)
  disks = await disksOf()
  cas = authorities()
})

for (const { title, code, names = code, settings, target, make, undo } of accidents)
  test(`${title} is refused, and nothing is changed`, async () => {
    await make?.()
    try {
      assert.match(await assertRefused(cluster, code, settings, target), names)
    } finally {
      await undo?.()
    }
  })

test('lost secrets are recovered from the machine configs', async () => {
  const kept = `${away}-secrets`
  renameSync(inGenerated('secrets.yaml'), kept)
  assert.is((await nx('bootstrap:recover-secrets')).code, 0)
  const of = (path: string): { certs: unknown } => parse(readFileSync(path, 'utf8')) as never
  assert.equal(of(inGenerated('secrets.yaml')).certs, of(kept).certs)
  renameSync(kept, inGenerated('secrets.yaml'))
})

test('while one checkout starts the cluster, another is refused, and after it too', async () => {
  const other = secondCheckout()
  const there = join(other, 'generated', 'lab')
  const fromThere = async (script: string, ...flags: string[]): Promise<string> => {
    const { code, output } = await run(scriptOf(script, '--cluster', 'lab', ...flags), {}, other)
    assert.is(code, 1)
    return output
  }
  // The accidents before have left the machines running.
  assert.is((await run(scriptOf('scripts/stop.ts', '--cluster', 'lab', '--force'))).code, 0)
  const { child, ended } = start(scriptOf('scripts/start.ts', '--cluster', 'lab'))
  // The machines are started, and the run holds the lock until the cluster is healthy.
  const waits = new Promise((resolve) => {
    let output = ''
    const look = (chunk: Buffer): void => {
      output += chunk.toString()
      if (output.includes('✓ Start lab-w2')) resolve(true)
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    void ended.then(resolve)
  })
  await waits
  assert.is(child.exitCode, null, 'it ended before the other checkout was tried')
  const refused = await fromThere('scripts/stop.ts', '--force')
  assert.match(refused, 'LOCKED: another run is changing lab')
  assert.match(refused, 'has been running scripts/start.ts')
  assert.is((await ended).code, 0)
  const before = await stateOf(cluster)
  for (const output of [
    await fromThere('scripts/stop.ts', '--force'),
    await fromThere('packages/vm/scripts/create.ts'),
  ]) {
    assert.match(output, 'VM_NOT_OURS')
    assert.match(output, 'work in the checkout that created it')
  }
  assert.is(await stateOf(cluster), before)
  for (const name of ['cluster-id', 'hosts.json', 'secrets.yaml'])
    assert.not(existsSync(join(there, name)), name)
})

test('with every accident undone the cluster starts with its CAs, data and disks', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  assert.equal(authorities(), cas)
  assert.is(await disksOf(), disks)
  const maps = await access(cluster, 'kubectl', 'get', 'configmaps', '-o', 'name')
  assert.match(maps, 'configmap/precious')
})

test.run()
