/** The parts of a bundle: settings, plan, diagnosis, run records, and states of hosts, Talos and Kubernetes. */
import { readFile } from 'node:fs/promises'
import { readKubernetes } from '@talosmith/bootstrap'
import { openTalosctl, probeMachines, supportArguments } from '@talosmith/clients/talos'
import {
  consoleLog,
  findTool,
  generatedFiles,
  plainLines,
  readLogs,
  reasonOf,
  secretSettings,
  silentLog,
  virshBatch,
  type Cluster,
  type Host,
  type Node,
} from '@talosmith/core'
import { unzipSync } from 'fflate'
import { findCauses, type Findings } from '../diagnose/find.ts'
import { gatherObservations } from '../diagnose/gather.ts'
import { findingsAsJson, renderFindings } from '../diagnose/report.ts'
import { planAll } from '../plan/cluster.ts'
import { renderReport } from '../plan/report.ts'
import { inTime } from '../status/gather.ts'
import { isNeeded, reduceList } from './kubernetes.ts'

/** A file of a bundle; its text is not redacted yet. */
export interface Part {
  readonly name: string
  readonly text: string
}

interface Context {
  readonly cluster: Cluster
  readonly eachHost: () => readonly Promise<Host>[]
  readonly signal: AbortSignal
  /** The path of a file in a private folder, which is removed at the end. */
  readonly workFile: (name: string) => string
}

/** A whole bundle takes less than a minute; a part that takes longer is left out. */
const partMs = 45_000
const probeMs = 3000
const consoleBytes = 200_000
const keptRuns = 5

/** Collects all parts in parallel; in place of one that fails, there is a file with the reason. */
export async function collectParts(
  context: Context,
): Promise<{ readonly parts: Part[]; readonly findings: Findings | undefined }> {
  let findings: Findings | undefined
  const collect = async (
    name: string,
    read: () => Promise<readonly Part[]>,
  ): Promise<readonly Part[]> => {
    const answer = await inTime(read, partMs)
    return answer.ok ? answer.value : [{ name: `${name}.missing.txt`, text: answer.reason }]
  }
  const { cluster } = context
  const one = async (name: string, text: string): Promise<Part[]> => [{ name, text }]
  const parts = await Promise.all([
    collect('settings', () => one('settings.json', describeSettings(cluster))),
    collect('plan', async () =>
      one('plan.txt', renderReport(cluster, await planAll({ ...context, log: silentLog }))),
    ),
    collect('diagnosis', async () => {
      findings = findCauses(cluster, await gatherObservations(cluster, context.eachHost))
      return [
        ...(await one('diagnosis.txt', renderFindings(cluster, findings))),
        ...(await one(
          'diagnosis.json',
          JSON.stringify(findingsAsJson(cluster, findings), null, 2),
        )),
      ]
    }),
    collect('runs', () => readRuns(cluster)),
    collect('versions', () => readVersions(cluster)),
    collect('talos-support', () => readSupport(context)),
    ...kubernetesPaths.map(([name, kind, path]) =>
      collect(`kubernetes/${name}`, async () =>
        one(`kubernetes/${name}.json`, reduceList(kind, await readKubernetes(cluster, path))),
      ),
    ),
    ...context
      .eachHost()
      .map((host, index) =>
        collect(`host-${index + 1}`, async () => readHost(cluster, await host)),
      ),
  ])
  return { parts: parts.flat(), findings }
}

const kubernetesPaths = [
  ['nodes', 'nodes', '/api/v1/nodes'],
  ['events', 'events', '/api/v1/events'],
  ['pods-kube-system', 'pods', '/api/v1/namespaces/kube-system/pods'],
] as const

/** A command or a proxy of the user's may contain a password in any form: only whether there is one. */
function describeSettings({ settings }: Cluster): string {
  const secrets = Object.keys(secretSettings(settings)).map((name) => [name, '[removed]'])
  return JSON.stringify({ ...settings, ...Object.fromEntries(secrets) }, null, 2)
}

/** The records of the last runs: steps, times and durations. */
async function readRuns(cluster: Cluster): Promise<Part[]> {
  const files = generatedFiles(cluster)
  const names = (await files.list('runs')).map(({ name }) => name).sort()
  return Promise.all(
    names.slice(-keptRuns).map(async (name) => ({ name, text: (await files.read(name)) ?? '' })),
  )
}

async function readVersions(cluster: Cluster): Promise<Part[]> {
  const tools = await Promise.all(
    (['talosctl', 'kubectl', 'helm'] as const).map(async (name) => {
      const found = await findTool(name, cluster).then(
        ({ version, path }) => `${version} ${path}`,
        (error: unknown) => reasonOf(error) ?? '',
      )
      return `${name}: ${found}`
    }),
  )
  const text = [`node: ${process.version} ${process.platform} ${process.arch}`, ...tools].join('\n')
  return [{ name: 'versions.txt', text }]
}

/** The files of `talosctl support`, unpacked so that secrets can be removed from each. */
async function readSupport({ cluster, workFile }: Context): Promise<Part[]> {
  const talosctl = await openTalosctl(cluster)
  const path = workFile('support.zip')
  // Machines that do not answer would delay the others past the timeout: leave them out.
  const probes = await probeMachines(cluster.nodes, undefined, probeMs)
  const answering = cluster.nodes.filter(({ name }) => probes.get(name)?.kind !== 'silent')
  const endpoints = answering.filter(({ role }) => role === 'controlplane').map(addressOf)
  if (endpoints.length === 0) throw new Error('no control plane answers')
  await talosctl.ask(answering.map(addressOf), supportArguments(talosctl.version, path), {
    timeoutMs: partMs - probeMs - 2000,
    nothrow: true,
    endpoints,
  })
  const entries = unzipSync(new Uint8Array(await readFile(path)))
  return Object.entries(entries).flatMap(([name, bytes]) =>
    // Secrets can be removed from text only: leave binary files out.
    bytes.length === 0 || bytes.includes(0) || !isNeeded(name)
      ? []
      : [{ name: `talos-support/${name}`, text: Buffer.from(bytes).toString() }],
  )
}

const addressOf = ({ address }: Node): string => address

async function readHost({ nodes }: Cluster, host: Host): Promise<Part[]> {
  const folder = `hosts/${host.name.replaceAll(/[^\w.@-]/g, '_')}`
  const paths = nodes.flatMap(({ name }): [string, string][] => {
    const path = consoleLog(name)
    // The second is QEMU's own log.
    return [
      [`${name}-console.log`, path],
      [`${name}.log`, path.replace('-console', '')],
    ]
  })
  const [xmls, read] = await Promise.all([
    virshBatch(host, [
      ['version'],
      ['nodeinfo'],
      ['list', '--all'],
      ...nodes.map(({ name }) => ['dumpxml', name]),
    ]),
    readLogs(host, new Map(paths), consoleBytes),
  ])
  const [version, info, list, ...domains] = xmls
  const texts = [version, info, list].map((answer) => answer?.stdout ?? answer?.error ?? '')
  const here = nodes.flatMap(({ name }, index) => {
    const xml = domains[index]
    return xml?.error === undefined && xml !== undefined ? [{ name, xml: xml.stdout }] : []
  })
  const isHere = (log: string): boolean =>
    here.some(({ name }) => log === `${name}.log` || log === `${name}-console.log`)
  return [
    { name: `${folder}/host.txt`, text: texts.join('\n\n') },
    ...here.map(({ name, xml }) => ({ name: `${folder}/${name}.xml`, text: xml })),
    ...Array.from(read).flatMap(([name, log]): Part[] => {
      if ('reason' in log)
        return isHere(name) ? [{ name: `${folder}/${name}.missing.txt`, text: log.reason }] : []
      const text = plainLines(log.text).join('\n')
      return text === '' ? [] : [{ name: `${folder}/${name}`, text }]
    }),
  ]
}
