/**
 * Machines for Talos and Kubernetes clients: TLS at port 50000 of every address with a certificate of the
 * cluster's CA, an API server with nodes and storage, and a substitute of talosctl that prints recorded output.
 * It starts the real program first, so that its start-up time is measured too.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  createSecrets,
  observeGeneratedFiles,
  writeConfigs,
  writeTalosconfig,
} from '@talosmith/bootstrap/testing'
import { listPath, objectPath } from '@talosmith/clients/kubernetes'
import { openTalosctl } from '@talosmith/clients/talos'
import { createCa, showMachine, type Ca } from '@talosmith/clients/testing'
import { generatedFiles, silentLog, type Cluster } from '@talosmith/core'
import { chartValues } from '@talosmith/storage'
import {
  fingerprint,
  mountOptionsObject,
  names,
  storageClassSpec,
} from '@talosmith/storage/testing'
import { parse, stringify } from 'yaml'
import { program, takeCount } from './kvm-host.ts'

export interface Machines {
  /** XDG_CACHE_HOME of a run, where it finds the tools. */
  readonly cache: string
  /** talosctl processes since the last call. */
  counts(): { readonly talosctl: number }
  stop(): Promise<void>
}

/** Creates the files that configure and start would have created, and starts the machines' servers. */
export async function startMachines(
  cluster: Cluster,
  folder: string,
  real: { readonly talosctl: string },
): Promise<Machines> {
  const configs = await fillGenerated(cluster)
  const { certs } = parse((await generatedFiles(cluster).read('secrets.yaml')) ?? '') as {
    certs: Record<'os' | 'k8s', { crt: string; key: string }>
  }
  const talosCa = caOf('/O=talos', certs.os)
  const kubernetesCa = caOf('/O=kubernetes', certs.k8s)
  await writeKubeconfig(cluster, kubernetesCa)
  const machine = talosCa.issue('/CN=machine')
  const shown = await Promise.all(
    cluster.nodes.map(({ address }) => showMachine(address, { has: machine, ca: talosCa.cert })),
  )
  const api = await startApi(cluster, kubernetesCa)
  const answers = join(folder, cluster.name)
  mkdirSync(answers)
  for (const [name, text] of Object.entries(talosAnswers(cluster, configs)))
    writeFileSync(join(answers, name), text)
  const cache = join(folder, `${cluster.name}-cache`)
  const tool = join(cache, 'talosmith/tools/talosctl', cluster.settings.TALOS_VERSION)
  mkdirSync(tool, { recursive: true })
  program(
    join(tool, 'talosctl'),
    `case "$*" in 'version --client '*) exec ${real.talosctl} "$@" ;; esac
cd ${answers}
echo >>talosctl.count
${real.talosctl} version --client >/dev/null
case "$*" in
*"get machineconfig"*) cat machineconfig ;;
*"get machinestatus"*) cat machinestatus ;;
*"get extensions"*) cat extensions ;;
*"get service etcd"*) cat etcd ;;
*"etcd status") cat status ;;
*mounts) cat mounts ;;
*version) cat versions ;;
*) exit 1 ;;
esac`,
  )
  return {
    cache,
    counts: () => ({ talosctl: takeCount(join(answers, 'talosctl.count')) }),
    async stop() {
      await Promise.all(shown.map((one) => one.stop()))
      api.closeAllConnections()
      await new Promise((resolve) => api.close(resolve))
    },
  }
}

/** Secrets, configs and talosconfig, by the real talosctl. */
async function fillGenerated(cluster: Cluster): Promise<ReadonlyMap<string, string>> {
  const talosctl = await openTalosctl(cluster)
  await createSecrets(cluster, talosctl)
  const { desired, digest } = await observeGeneratedFiles(cluster, talosctl, silentLog)
  if (desired === undefined) throw new Error('no machine configs were generated')
  await writeConfigs(cluster, desired, digest)
  await writeTalosconfig(cluster, talosctl)
  return desired
}

function caOf(subject: string, { crt, key }: { crt: string; key: string }): Ca {
  const decode = (text: string): string => Buffer.from(text, 'base64').toString()
  // Talos writes `BEGIN ED25519 PRIVATE KEY` around what openssl calls PRIVATE KEY.
  return createCa(subject, {
    cert: decode(crt),
    key: decode(key).replaceAll('ED25519 PRIVATE', 'PRIVATE'),
  })
}

async function writeKubeconfig(cluster: Cluster, ca: Ca): Promise<void> {
  const { cert, key } = ca.issue('/O=system:masters/CN=admin')
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  const text = stringify({
    clusters: [
      { cluster: { server: cluster.endpoint, 'certificate-authority-data': encode(ca.cert) } },
    ],
    users: [{ user: { 'client-certificate-data': encode(cert), 'client-key-data': encode(key) } }],
  })
  await generatedFiles(cluster).write('kubeconfig', text)
}

async function startApi(cluster: Cluster, ca: Ca): Promise<ReturnType<typeof createServer>> {
  const answers = new Map(
    Object.entries({ [listPath('Node')]: nodeList(cluster), ...storageAnswers(cluster) }).map(
      ([path, body]) => [path, JSON.stringify(body)],
    ),
  )
  const { hostname } = new URL(cluster.endpoint)
  const certificate = ca.issue('/CN=kube-apiserver', 365, hostname)
  const server = createServer(
    { ...certificate, ca: ca.cert, requestCert: true },
    ({ url = '' }, response) => response.end(answers.get(url.split('?')[0] ?? '') ?? '{}'),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(6443, hostname, resolve)
  })
  return server
}

function nodeList({ nodes, settings }: Cluster): object {
  const items = nodes.map(({ name, address }) => ({
    metadata: { name },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      addresses: [{ type: 'InternalIP', address }],
      nodeInfo: { kubeletVersion: settings.KUBERNETES_VERSION },
      // A real Node lists fifty images, most of its twenty kilobytes.
      images: Array.from({ length: 50 }, (_, index) => ({
        names: [`registry.example/image-${index}@sha256:${'0'.repeat(64)}`],
        sizeBytes: 100_000_000,
      })),
    },
  }))
  return { kind: 'NodeList', items }
}

/** In the form that talosctl v1.13.9 prints. */
function talosAnswers(
  { nodes, controlPlanes, schematic, settings }: Cluster,
  configs: ReadonlyMap<string, string>,
): Record<string, string> {
  const each = (type: string, id: string, specOf: (name: string) => unknown): string =>
    nodes
      .map(({ address, name }) =>
        JSON.stringify({ metadata: { id, type }, node: address, spec: specOf(name) }, null, 4),
      )
      .join('\n')
  const memberId = (index: number): string => String(index + 1).padStart(16, '0')
  return {
    machineconfig: each('MachineConfigs', 'v1alpha1', (name) => configs.get(name)),
    machinestatus: each('MachineStatuses', 'machine', () => ({
      stage: 'running',
      status: { ready: true, unmetConditions: [] },
    })),
    extensions: each('ExtensionStatuses', '0', () => ({
      metadata: { name: 'schematic', version: schematic.id },
    })),
    etcd: each('Services', 'etcd', () => ({ running: true, healthy: true })),
    versions: `Client:\n\tTag: ${settings.TALOS_VERSION}\nServer:\n${nodes
      .map(({ address }) => `\tNODE:        ${address}\n\tTag:         ${settings.TALOS_VERSION}\n`)
      .join('')}`,
    mounts: table([
      ['NODE', 'FILESYSTEM', 'SIZE(GB)', 'USED(GB)', 'AVAILABLE(GB)', 'PERCENT USED', 'MOUNTED ON'],
      ...nodes.flatMap(({ address }) => [
        [address, 'devtmpfs', '0.99', '0.00', '0.99', '0.00%', '/dev'],
        [address, '/dev/vda4', '18.20', '2.10', '16.10', '11.54%', '/var'],
      ]),
    ]),
    status: table([
      ['NODE', 'MEMBER', 'DB SIZE', 'IN USE', 'LEADER', 'RAFT INDEX', 'LEARNER', 'ERRORS'],
      ...controlPlanes.map(({ address }, index) => [
        address,
        memberId(index),
        '12 MB',
        '4.0 MB (33.51%)',
        memberId(0),
        '5312',
        'false',
        '',
      ]),
    ]),
  }
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd((widths[column] ?? 0) + 3)).join('')
  return `${rows.map(line).join('\n')}\n`
}

/** Storage after storage:install, by the path of each request. */
function storageAnswers(cluster: Cluster): Record<string, object> {
  const { releaseNamespace: namespace } = names
  const release = {
    version: 1,
    info: { status: 'deployed' },
    chart: { metadata: { version: cluster.settings.NFS_CSI_VERSION } },
    config: chartValues(cluster),
  }
  const packed = gzipSync(JSON.stringify(release)).toString('base64')
  const ours = (kind: string, name: string, more: object): object => ({
    kind,
    metadata: {
      name,
      labels: names.oursLabel,
      annotations: { [names.provenAnnotation]: fingerprint(cluster) },
    },
    ...more,
  })
  const record = ours('Secret', `sh.helm.release.v1.${names.releaseName}.v1`, {
    data: { release: Buffer.from(packed).toString('base64') },
  })
  return {
    [listPath('Secret', namespace)]: { kind: 'SecretList', items: [record] },
    [objectPath('StorageClass', names.storageClassName)]: ours(
      'StorageClass',
      names.storageClassName,
      storageClassSpec(cluster),
    ),
    [objectPath('Secret', names.mountOptionsSecret, namespace)]: mountOptionsObject(cluster),
    [objectPath('Deployment', names.controllerName, namespace)]: ours(
      'Deployment',
      names.controllerName,
      { spec: { replicas: 1 }, status: { updatedReplicas: 1, availableReplicas: 1 } },
    ),
    [objectPath('DaemonSet', names.nodeDriverName, namespace)]: ours(
      'DaemonSet',
      names.nodeDriverName,
      {
        status: {
          desiredNumberScheduled: cluster.nodes.length,
          updatedNumberScheduled: cluster.nodes.length,
          numberAvailable: cluster.nodes.length,
        },
      },
    ),
  }
}
