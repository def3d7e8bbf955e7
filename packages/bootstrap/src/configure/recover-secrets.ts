/** bootstrap:recover-secrets: recovers a lost secrets.yaml from what has the same secrets. */
import { openTalosctl, probeMachines, type Talosctl } from '@talosmith/clients/talos'
import {
  applyAll,
  commandFor,
  generatedFiles,
  notStarted,
  Problem,
  type Change,
  type Cluster,
  type ExitCode,
  type ScriptContext,
} from '@talosmith/core'
import { parseAllDocuments } from 'yaml'
import { configReason } from '../config/config-reason.ts'
import { observeEvidence } from '../secrets/evidence.ts'
import { observeTraces } from '../generated/lost-secrets.ts'
import { judgeCandidate, type Candidate, type Evidence } from '../secrets/recovered-secrets.ts'
import { parseSecrets, readSecrets, secretsFile, writeSecrets } from '../secrets/secrets.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import { observeNodeStates } from './observe.ts'

type Context = Pick<ScriptContext<Record<never, never>>, 'cluster' | 'log' | 'dryRun' | 'showPlan'>

/** A place that may have the lost secrets; it throws when it has none. */
interface Source extends Omit<Candidate, 'text'> {
  read(): Promise<string>
}

/**
 * Recovers a lost secrets.yaml from machine configs, copies, or a running control plane, the first that is
 * verified. Never replaces a file. Throws SECRETS_NOT_RECOVERED with the reason of each place, and NOT_STARTED for a
 * cluster that never had secrets.
 */
export async function recoverSecrets(
  { cluster, log, dryRun, showPlan }: Context,
  tool?: Talosctl,
): Promise<ExitCode> {
  if ((await readSecrets(cluster)) !== undefined) {
    if (dryRun) return showPlan([])
    log.already(`there is a ${secretsFile}, which is not replaced`)
    return 0
  }
  const talosctl = tool ?? (await openTalosctl(cluster))
  const { candidate, because } = await findSecrets(cluster, talosctl)
  const change: Change = {
    kind: 'recover-secrets',
    target: secretsFile,
    summary: `Recover ${secretsFile} from ${candidate.source}`,
    from: 'missing',
    to: because,
    risk: 'none',
  }
  if (dryRun) return showPlan([change])
  await applyAll([change], () => writeSecrets(cluster, candidate.text, { recovered: true }), {
    log,
  })
  log.info(`   it ${because}. Keep a copy elsewhere. Next: ${commandFor(cluster, 'cluster:plan')}`)
  return 0
}

async function findSecrets(
  cluster: Cluster,
  talosctl: Talosctl,
): Promise<{ readonly candidate: Candidate; readonly because: string }> {
  const evidence = await observeEvidence(cluster)
  const sources = [
    ...(await configSources(cluster, talosctl)),
    ...(await copySources(cluster)),
    ...(await machineSources(cluster, talosctl, evidence.talosCa)),
  ]
  const reasons: string[] = []
  for (const { source, kind, read } of sources) {
    let text: string
    try {
      text = await read()
    } catch (error) {
      // Only what talosctl reports about a file, without its content.
      reasons.push(`${source}: ${configReason(error, [])}`)
      continue
    }
    const candidate = { source, kind, text }
    const machines = await observeMachines(cluster, text)
    const verdict = judgeCandidate(candidate, { ...evidence, machines })
    if (verdict.isAccepted) return { candidate, because: verdict.because }
    reasons.push(`${source}: ${verdict.because}`)
  }
  const { files } = await observeTraces(cluster)
  if (reasons.length === 0 && files.length === 0)
    throw notStarted(cluster, 'there are no secrets, and nothing that is created with secrets')
  throw new Problem(
    'SECRETS_NOT_RECOVERED',
    `could not recover the secrets of cluster ${cluster.name}`,
    {
      because:
        reasons.length === 0
          ? 'no machine config, no copy and no talosconfig is left'
          : reasons.join('\n'),
      now: 'nothing was changed',
      hint: [
        `start its control planes and run the same command again: npx tsx scripts/start.ts --cluster ${cluster.file} --machines-only`,
        `or put a copy of ${secretsFile} into ${cluster.generated}`,
      ].join('\n'),
    },
  )
}

/** Machine configs in generated/: they hold every secret of the cluster, in those of control planes. */
async function configSources(cluster: Cluster, talosctl: Talosctl): Promise<Source[]> {
  const files = generatedFiles(cluster)
  const names = (await files.list('configs')).map(({ name }) => name).sort()
  const sources = await Promise.all(
    names.map(async (source): Promise<Source[]> => {
      const text = /\.ya?ml$/.test(source) ? ((await files.read(source)) ?? '') : ''
      if (!isControlPlane(text)) return []
      return [{ source, kind: 'machine config', read: () => secretsIn(cluster, talosctl, text) }]
    }),
  )
  return sources.flat()
}

function isControlPlane(config: string): boolean {
  try {
    return parseAllDocuments(config).some(
      (document) => document.getIn(['machine', 'type']) === 'controlplane',
    )
  } catch {
    return false
  }
}

/** Copies of the file that a destroy, a regeneration or a final backup kept, the newest of each first. */
async function copySources(cluster: Cluster): Promise<Source[]> {
  const files = generatedFiles(cluster)
  const all = await files.list()
  const names = all.map(({ name }) => name).sort((one, other) => other.localeCompare(one))
  const places = [
    /^removed\/secrets\.yaml(?:\.\d+)?$/,
    /^backups\/[^/]+\.secrets\.yaml$/,
    /^archive\/[^/]+\/secrets\.yaml(?:\.\d+)?$/,
  ]
  return places.flatMap((place) =>
    names.flatMap((source): Source[] =>
      place.test(source)
        ? [{ source, kind: 'copy', read: async () => (await files.read(source)) ?? '' }]
        : [],
    ),
  )
}

/** The machine configs in force on control planes that the talosconfig gives access to. */
async function machineSources(
  cluster: Cluster,
  talosctl: Talosctl,
  talosCa: string | undefined,
): Promise<Source[]> {
  if (talosCa === undefined) return []
  const observed = await observeNodeStates(cluster, talosctl, { talosCa }, cluster.controlPlanes)
  return observed.map(({ node, state }) => ({
    source: `the machine config of ${node.name}`,
    kind: 'machine config',
    async read() {
      if (state.kind === 'running') return secretsIn(cluster, talosctl, state.config)
      throw new Error(state.kind === 'maintenance' ? 'it has none' : state.reason)
    },
  }))
}

/** The secrets in a control plane's machine config (NewBundleFromConfig in Talos' config/generate/secrets/bundle.go). */
async function secretsIn(cluster: Cluster, talosctl: Talosctl, config: string): Promise<string> {
  return withWorkFolder(cluster, async (folder) => {
    await folder.write('controlplane.yaml', config)
    const from = folder.path('controlplane.yaml')
    const args = ['gen', 'secrets', '--from-controlplane-config', from]
    await talosctl.offline(...args, '--output-file', folder.path(secretsFile))
    return folder.read(secretsFile)
  })
}

/** Which machines have a certificate of these secrets' CA, and which of another. */
async function observeMachines(cluster: Cluster, text: string): Promise<Evidence['machines']> {
  let talosCa: string
  try {
    talosCa = parseSecrets(text).talosCa
  } catch {
    return { ours: [], foreign: [] }
  }
  const probes = await probeMachines(cluster.nodes, talosCa)
  const withKind = (kind: string): string[] =>
    cluster.nodes.flatMap(({ name }) => (probes.get(name)?.kind === kind ? [name] : []))
  return { ours: withKind('ours'), foreign: withKind('foreign') }
}
