/** Shared by the chapters on failures: their cluster, its diagnosis as JSON, and running a remedy's commands. */
import type { Host } from '@talosmith/core'
import * as assert from 'uvu/assert'
import { versions } from '../src/versions.ts'
import { access, labCluster, nx, run, withHost, type Overrides } from './support.ts'

/** A control plane and a worker, on versions that can be upgraded. */
export const right: Overrides = {
  CLUSTER_NAME: 'labdx',
  WORKER_COUNT: '1',
  NFS_SERVER: '',
  TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
  TALOS_VERSION: 'v1.13.8',
  KUBERNETES_VERSION: versions.kubernetesBefore,
}
export const cluster = await labCluster(right)
export const [cp, w] = ['labdx-cp1', 'labdx-w1']
export const disk = `/var/lib/libvirt/images/${w}.qcow2`

interface Diagnosis {
  readonly code: string
  readonly where: string | null
  readonly evidence: readonly string[]
  readonly remedy: readonly string[]
}

interface Report {
  readonly diagnoses: readonly Diagnosis[]
  readonly unmet: readonly string[]
  /** Each with its machine. */
  readonly codes: readonly string[]
}

/** What a remedy has fixed, and must not be reported again. */
export const fixed = new Set<string>()
const nameOf = ({ code, where }: Diagnosis): string => `${code} ${where}`

/** A script of the project that answers with JSON. */
export async function ask<T>(path: string, overrides: Overrides): Promise<T> {
  const { output } = await run(
    ['node', '--import', 'tsx', path, '--cluster', 'lab', '--json'],
    overrides,
  )
  return JSON.parse(/^\{[\s\S]*^\}/m.exec(output)?.[0] ?? '') as T
}

export async function diagnose(overrides = right): Promise<Report> {
  const started = performance.now()
  const report = await ask<Omit<Report, 'codes'>>('scripts/diagnose.ts', overrides)
  const seconds = (performance.now() - started) / 1000
  assert.ok(seconds < 30, `it took ${seconds} s`)
  const codes = report.diagnoses.map(nameOf)
  for (const code of fixed) assert.not(codes.includes(code), `${code} was reported again`)
  return { ...report, codes }
}

/** Repeats the diagnosis until a code that takes time to show, such as one of a boot, is reported first. */
export async function diagnoseUntil(first: string, withinMs = 240_000): Promise<Report> {
  const until = Date.now() + withinMs
  let report = await diagnose()
  while (report.codes[0] !== first && Date.now() < until) report = await diagnose()
  assert.is(report.codes[0], first)
  return report
}

/** Runs the commands of a diagnosis' remedy, up to its alternatives. */
export async function fix({ diagnoses }: Report, code: string): Promise<void> {
  const remedy = diagnoses.find((one) => nameOf(one) === code)?.remedy ?? []
  const other = remedy.findIndex((line) => line.startsWith('# or '))
  const lines = remedy
    .slice(0, other < 0 ? undefined : other)
    .filter((line) => !line.startsWith('#'))
  assert.ok(lines.length > 0, `${code} has no remedy to run`)
  for (const line of lines) await runLine(line)
  fixed.add(code)
}

async function runLine(line: string): Promise<void> {
  const target = /npx nx run (\S+)$/.exec(line)?.[1]
  if (target !== undefined) assert.is((await nx(target, right)).code, 0, line)
  else if (line.startsWith('talosctl --talosconfig '))
    await access(cluster, 'talosctl', ...line.split(' ').slice(3))
  else await on(({ $ }) => $({ timeoutMs: 300_000 })`bash -c ${line}`)
}

export async function on<T>(work: (host: Host) => Promise<T>): Promise<T> {
  return withHost(cluster, work)
}

export async function talos(name: string, ...args: string[]): Promise<void> {
  const address = addressOf(name)
  await access(cluster, 'talosctl', '-e', address, '-n', address, ...args)
}

export function addressOf(name: string): string {
  return cluster.nodes.find((node) => node.name === name)?.address ?? ''
}
