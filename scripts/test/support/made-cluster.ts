/** A cluster as it is after cluster:up, with a fake libvirt whose state is in files and a fake API server. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { hostFiles, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { describeMachine, describeSeed, renderDomain } from '@talosmith/vm'
import { startKubernetesApi, type KubernetesApi } from './kubernetes-api.ts'

/** The ID of both clusters: made once, and in their metadata, seeds and generated folders. */
export const clusterId = 'a3b1c7d2-0000-4000-8000-00000000c0de'

/** Names that no libvirt of this machine has: the console logs of these machines are removed for real. */
const names = { ours: 'talosmith-test-a', other: 'talosmith-test-b' } as const

export interface Made {
  readonly root: string
  readonly cluster: Cluster
  /** The files of the cluster on the operator's machine. */
  readonly generated: string
  readonly pool: string
  path(name: string): string
  readonly api: KubernetesApi
  set(name: 'pool-state', value: string): void
  /** Every file below the root with its content, except run records; `link` for symbolic links. */
  everything(): Record<string, string>
  /** The names of those that belong to the cluster. */
  ours(): string[]
  close(): void
}

/** Creates the cluster, beside a foreign domain, another cluster, and a volume without a machine. */
export async function makeCluster(settings: Readonly<Record<string, string>> = {}): Promise<Made> {
  const root = temporaryFolder('destroy')
  const cluster = testCluster({ CLUSTER_NAME: names.ours, ...settings }, root)
  const pool = join(root, 'pool')
  const path = (name: string): string => join(root, name)
  const put = (name: string, text: string | Buffer): void => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text, { mode: 0o600 })
  }
  installVirsh(root)
  put('pool-state', 'active\n')
  put('storageclass', '')
  put(`pool/${cluster.image.fileName}`, 'image')
  for (const one of [cluster, testCluster({ CLUSTER_NAME: names.other }, root)])
    makeMachines(one, pool, put)
  put('domains/bystander/xml', '<domain><name>bystander</name></domain>')
  put('domains/bystander/state', 'running\n')
  put('pool/bystander.qcow2', 'theirs')
  put(`pool/${names.ours}-w9.qcow2`, 'a volume without a machine')
  for (const name of [names.ours, names.other]) {
    const folder = `generated/${name}`
    for (const file of ['kubeconfig', 'talosconfig', 'secrets.yaml', 'secrets.owner.json'])
      put(`${folder}/${file}`, `${file} of ${name}`)
    for (const node of ['cp1', 'w1', 'w2'])
      put(`${folder}/configs/${name}-${node}.yaml`, `config of ${name}-${node}`)
    put(`${folder}/configs/made-of.json`, '{}')
    put(`${folder}/images.json`, '{}')
    put(`${folder}/cluster-id`, `${clusterId}\n`)
    put(`${folder}/hosts.json`, JSON.stringify(cluster.settings.LIBVIRT_URI))
  }
  const api = await startKubernetesApi(path('storageclass'))
  put(`generated/${names.ours}/kubeconfig`, api.kubeconfig)
  return {
    root,
    cluster,
    generated: cluster.generated,
    pool,
    path,
    api,
    set: (name, value) => writeFileSync(path(name), `${value}\n`),
    everything: () => allBelow(root),
    ours: () =>
      Object.keys(allBelow(root)).filter(
        (file) =>
          file.includes(names.ours) && !file.endsWith('-w9.qcow2') && !/\/images\.json$/.test(file),
      ),
    close() {
      api.stop()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

function installVirsh(root: string): void {
  mkdirSync(join(root, 'bin'))
  copyFileSync(join(import.meta.dirname, 'fake-virsh.sh'), join(root, 'bin/virsh'))
  chmodSync(join(root, 'bin/virsh'), 0o755)
}

function makeMachines(
  cluster: Cluster,
  pool: string,
  put: (name: string, text: string | Buffer) => void,
): void {
  const files = hostFiles(cluster, pool)
  const local = (path: string): string => `pool/${path.slice(pool.length + 1)}`
  for (const node of cluster.nodes) {
    const own = { disk: files.disk(node), seed: files.seed(node) }
    const [uri = ''] = cluster.settings.LIBVIRT_URI
    const origin = { clusterId, image: files.image, diskGib: node.diskGib, uri, directIo: true }
    const xml = renderDomain(describeMachine(cluster, node, own, 'qemu'), origin)
    put(`domains/${node.name}/xml`, xml.replace('state="none"', 'state="created"'))
    put(`domains/${node.name}/state`, 'running\n')
    put(local(own.disk), `disk of ${node.name}`)
    put(local(own.seed), seedIso(cluster.name, node.name, describeSeed(cluster, node).digest))
  }
}

/** An ISO with only the fields that identify a seed: ECMA-119 8.4, sector 16. */
function seedIso(cluster: string, node: string, digest: string): Buffer {
  const iso = Buffer.alloc(17 * 2048, 0x20)
  const at = 16 * 2048
  iso.write('CD001', at + 1, 'latin1')
  iso.write('cidata', at + 40, 'latin1')
  iso.write(`TALOSMITH CLUSTER=${cluster} NODE=${node}`.toUpperCase(), at + 318, 'latin1')
  iso.write(`TALOSMITH SEED=${digest} ID=${clusterId}`.toUpperCase(), at + 574, 'latin1')
  return iso
}

function allBelow(root: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => !/^(bin|cache)(\/|$)/.test(name) && existsSync(join(root, name)))
      .sort()
      .flatMap((name): [string, string][] => {
        const stats = lstatSync(join(root, name))
        if (stats.isDirectory()) return []
        return [[name, stats.isFile() ? readFileSync(join(root, name), 'latin1') : 'link']]
      }),
  )
}
