/**
 * Machines for Talos and Kubernetes clients: TLS at port 50000 of every address with a certificate of the
 * cluster's CA, an API server, and substitutes of talosctl and kubectl that print recorded output. Both start
 * the real program first, so that its start-up time is measured too.
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
import { openTalosctl } from '@talosmith/clients/talos'
import { createCa, showMachine, type Ca } from '@talosmith/clients/testing'
import { generatedFiles, silentLog, type Cluster } from '@talosmith/core'
import { chartValues } from '@talosmith/storage'
import { fingerprint, names, storageClassSpec } from '@talosmith/storage/testing'
import { parse, stringify } from 'yaml'
import { program, takeCount } from './kvm-host.ts'

export interface Machines {
  /** XDG_CACHE_HOME of a run, where it finds the tools. */
  readonly cache: string
  /** talosctl and kubectl processes since the last call. */
  counts(): { readonly talosctl: number; readonly kubectl: number }
  stop(): Promise<void>
}

/** Creates the files that configure and start would have created, and starts the machines' servers. */
export async function startMachines(
  cluster: Cluster,
  folder: string,
  real: { readonly talosctl: string; readonly kubectl: string },
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
  const outputs = { ...talosAnswers(cluster, configs), ...kubectlAnswers(cluster) }
  for (const [name, text] of Object.entries(outputs)) writeFileSync(join(answers, name), text)
  const cache = join(folder, `${cluster.name}-cache`)
  const put = (name: 'talosctl' | 'kubectl', version: string, cases: string): void => {
    const path = join(cache, 'talosmith/tools', name, version)
    mkdirSync(path, { recursive: true })
    const lines = [
      `case "$*" in 'version --client '*) exec ${real[name]} "$@" ;; esac`,
      `cd ${answers}`,
      `echo >>${name}.count`,
      `${real[name]} version --client >/dev/null`,
    ]
    program(join(path, name), [...lines, `case "$*" in`, cases, 'esac'].join('\n'))
  }
  put(
    'talosctl',
    cluster.settings.TALOS_VERSION,
    `*"get machineconfig"*) cat machineconfig ;;
*"get machinestatus"*) cat machinestatus ;;
*"get extensions"*) cat extensions ;;
*"get service etcd"*) cat etcd ;;
*"etcd status") cat status ;;
*mounts) cat mounts ;;
*version) cat versions ;;
*) exit 1 ;;`,
  )
  put(
    'kubectl',
    cluster.settings.KUBERNETES_VERSION,
    '*" secrets "*) cat release ;;\n*storageclass*) cat storage ;;\n*) exit 1 ;;',
  )
  return {
    cache,
    counts: () => ({
      talosctl: takeCount(join(answers, 'talosctl.count')),
      kubectl: takeCount(join(answers, 'kubectl.count')),
    }),
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
  if (desired === undefined) throw new Error('no configs were made')
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

async function startApi(
  { nodes, settings }: Cluster,
  ca: Ca,
): Promise<ReturnType<typeof createServer>> {
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
  const list = JSON.stringify({ kind: 'NodeList', items })
  const certificate = ca.issue('/CN=kube-apiserver')
  const server = createServer(
    { ...certificate, ca: ca.cert, requestCert: true },
    ({ url }, response) => response.end(url === '/api/v1/nodes' ? list : '{}'),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(6443, '127.0.0.1', resolve)
  })
  return server
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

/** Storage after storage:install. */
function kubectlAnswers(cluster: Cluster): Record<string, string> {
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
  const list = (...items: object[]): string => JSON.stringify({ kind: 'List', items })
  return {
    release: list(
      ours('Secret', `sh.helm.release.v1.${names.releaseName}.v1`, {
        data: { release: Buffer.from(packed).toString('base64') },
      }),
    ),
    storage: list(
      ours('StorageClass', names.storageClassName, storageClassSpec(cluster)),
      ours('Deployment', names.controllerName, {
        spec: { replicas: 1 },
        status: { updatedReplicas: 1, availableReplicas: 1 },
      }),
      ours('DaemonSet', names.nodeDriverName, {
        status: {
          desiredNumberScheduled: cluster.nodes.length,
          updatedNumberScheduled: cluster.nodes.length,
          numberAvailable: cluster.nodes.length,
        },
      }),
    ),
  }
}
