/** Shared by the end-to-end tests: starting commands as a user would, and checking the result with other tools. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  findTool,
  generatedFiles,
  loadCluster,
  local,
  openHost,
  projectRoot,
  type Cluster,
  type Host,
  type ToolName,
} from '@talosmith/core'
import { versions } from '../src/versions.ts'
import { plant } from './planted.ts'
import { record } from './record.ts'

/** Environment variables that override env/lab.env, as a user would set them. */
export type Overrides = Readonly<Record<string, string>>

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
}

/** Three control planes behind a VIP, and a worker, on versions that can be upgraded. */
export const threeControlPlanes: Overrides = {
  CLUSTER_NAME: 'labha',
  CONTROL_PLANE_COUNT: '3',
  // Emulated processors that outnumber the machine's own only wait for each other.
  CONTROL_PLANE_CPU: '1',
  WORKER_COUNT: '1',
  NFS_SERVER: '',
  CLUSTER_VIP: '10.213.77.60',
  TALOS_VERSION: 'v1.13.8',
  KUBERNETES_VERSION: 'v1.36.2',
  HEALTH_TIMEOUT: '60m',
}

/** The same cluster after all upgrade tests. */
export const threeUpgraded: Overrides = {
  ...threeControlPlanes,
  TALOS_VERSION: versions.talos,
  KUBERNETES_VERSION: versions.kubernetes,
  TALOS_EXTENSIONS: 'siderolabs/nfs-utils',
}

/**
 * Starts a command of the project, by default in this checkout; its output is copied to the test's output, and
 * recorded for 8-secrets.
 */
export function start(
  command: readonly string[],
  overrides: Overrides = {},
  cwd: string = projectRoot,
): { child: ChildProcess; ended: Promise<Finished> } {
  const [program = '', ...args] = command
  const { gateCommand } = plant()
  const endRecord = record(command)
  const child = spawn(program, args, {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Failures caused by tests are not diagnosed: that takes up to a minute each.
    env: {
      ...process.env,
      NX_TUI: 'false',
      NO_COLOR: '1',
      CLUSTER: 'lab',
      FAILURE_BUNDLE: 'false',
      UPGRADE_GATE_COMMAND: gateCommand,
      ...overrides,
    },
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output += chunk.toString()
    process.stdout.write(chunk)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const ended = new Promise<Finished>((resolve) => {
    child.on('close', (code, signal) => {
      endRecord(output)
      resolve({ code, signal, output })
    })
  })
  return { child, ended }
}

export async function run(
  command: readonly string[],
  overrides: Overrides = {},
  cwd: string = projectRoot,
): Promise<Finished> {
  return start(command, overrides, cwd).ended
}

export async function nx(target: string, overrides: Overrides = {}): Promise<Finished> {
  return run(['npx', 'nx', 'run', target], overrides)
}

/** A script of the project, started with tsx. */
export function scriptOf(path: string, ...args: string[]): string[] {
  return ['npx', 'tsx', path, ...args]
}

/** Starts a command and sends a signal to it and its children once its output matches `when`. */
export async function killWhen(
  when: RegExp,
  command: readonly string[],
  overrides: Overrides = {},
  signal: 'SIGKILL' | 'SIGINT' = 'SIGKILL',
): Promise<Finished> {
  const { child, ended } = start(command, overrides)
  let output = ''
  let isSent = false
  const watch = (chunk: Buffer): void => {
    output += chunk.toString()
    if (isSent || !when.test(output) || child.pid === undefined || child.exitCode !== null) return
    isSent = true
    process.kill(-child.pid, signal)
  }
  child.stdout?.on('data', watch)
  child.stderr?.on('data', watch)
  return ended
}

/** The lab's cluster by its settings and the overrides. */
export async function labCluster(overrides: Overrides = {}): Promise<Cluster> {
  return (await loadCluster(projectRoot, 'lab', overrides)).cluster
}

export async function withHost<T>(cluster: Cluster, work: (host: Host) => Promise<T>): Promise<T> {
  const host = await openHost(cluster.settings.LIBVIRT_URI[0] ?? '', projectRoot)
  try {
    return await work(host)
  } finally {
    await host.close()
  }
}

/** Runs talosctl or kubectl with the cluster's own access file. */
export async function access(cluster: Cluster, name: ToolName, ...args: string[]): Promise<string> {
  const { path } = await findTool(name, cluster)
  const files = generatedFiles(cluster)
  const file =
    name === 'talosctl'
      ? ['--talosconfig', files.path('talosconfig')]
      : ['--kubeconfig', files.path('kubeconfig')]
  return (await local.$({ timeoutMs: 300_000 })`${path} ${file} ${args}`).stdout
}

/** A node, as far as chapters look at it. */
export interface ListedNode {
  readonly metadata: { readonly name: string; readonly labels: Record<string, string> }
  readonly status: {
    readonly addresses: readonly { readonly type: string; readonly address: string }[]
    readonly conditions: readonly { readonly type: string; readonly status: string }[]
    readonly nodeInfo: { readonly kubeletVersion: string; readonly osImage: string }
  }
}

export async function kubernetesNodes(cluster: Cluster): Promise<readonly ListedNode[]> {
  const { items } = JSON.parse(await access(cluster, 'kubectl', 'get', 'nodes', '-o', 'json')) as {
    items: ListedNode[]
  }
  return items.sort((a, b) => a.metadata.name.localeCompare(b.metadata.name))
}

/**
 * Everything on the host and in generated/ that a run could have changed, as one text: files with size and
 * time, domain definitions, and the version of each node's machine config.
 */
export async function stateDigest(cluster: Cluster): Promise<string> {
  const host = await withHost(cluster, async ({ $ }) => {
    const files =
      await $`find /var/lib/libvirt /etc/libvirt -type f -regextype posix-extended -regex ${'.*[.](raw|iso|json|xml)'} -printf ${'%p %s %T@ %i\\n'}`
    const domains =
      await $`for name in $(virsh -q list --all --name | sort); do virsh dumpxml $name | sha256sum; done`
    return files.stdout.split('\n').sort().join('\n') + domains.stdout
  })
  const configs = await access(
    cluster,
    'talosctl',
    '-n',
    cluster.nodes.map(({ address }) => address).join(','),
    'get',
    'machineconfig',
    '-o',
    'jsonpath={.metadata.version}',
  )
  return [host, configs, localFiles(cluster.generated)].join('\n')
}

/** Every file of a folder with its time and digest, without locks and records of runs. */
export function localFiles(folder: string): string {
  if (!existsSync(folder)) return ''
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('runs') && name !== 'lock')
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .sort()
    .map(
      (path) =>
        `${path} ${statSync(path).mtimeMs} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`,
    )
    .join('\n')
}

/** Removes a cluster: machines, disks, seeds, its image, and its generated files. */
export async function removeCluster(overrides: Overrides = {}): Promise<void> {
  const cluster = await labCluster(overrides)
  const confirmed = { ...overrides, CONFIRM: cluster.name }
  for (const name of ['destroy', 'remove-seeds'])
    await run(scriptOf(`packages/vm/scripts/${name}.ts`, '--cluster', 'lab'), confirmed)
  await withHost(cluster, ({ $ }) => $`rm -rf /var/lib/libvirt/images/talos-*`)
  await local.$`rm -rf ${cluster.generated}`
}
