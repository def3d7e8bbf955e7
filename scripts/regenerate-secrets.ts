/** cluster:regenerate-secrets: recreates the cluster with new secrets on new disks; needs CONFIRM=<cluster>. */
import {
  archiveSecrets,
  checkNewConfigs,
  describeLosses,
  describeRegeneration,
  configure,
  endRegeneration,
  findRegeneration,
  hasTraces,
  newRegeneration,
  noteNewMachines,
  planArchive,
  planFinalBackup,
  planUnsaved,
  proveOldAccessRefused,
  startCluster,
  takeFinalBackup,
  waitForHealth,
} from '@talosmith/bootstrap'
import { openTalosctl } from '@talosmith/clients/talos'
import {
  commandFor,
  findTool,
  notStarted,
  script,
  type Change,
  type Cluster,
  type ExitCode,
  type Host,
} from '@talosmith/core'
import { installStorage } from '@talosmith/storage'
import { clusterDomains, observeHosts, recreateMachines } from '@talosmith/vm'
import { finalSnapshot } from './destroy/confirm.ts'

export default script(import.meta, {
  summary:
    'Recreate the cluster with new secrets on new disks; needs CONFIRM=<cluster>. Lost: its identity, all data in etcd, every kubeconfig, talosconfig and service account token.',
  changes: true,
  losesData: true,
  options: finalSnapshot,
  async run(context) {
    const { cluster, log, options, answer, dryRun, showPlan, confirm } = context
    await refuseNothing(cluster, context.hosts)
    const { underWay, stale } = await findRegeneration(cluster)
    if (underWay !== undefined) log.info(`   ${describeRegeneration(underWay)}`)
    if (stale !== undefined)
      log.warn(
        `regenerating.json is ignored: the secrets are not those that the regeneration with ${stale.archive} created`,
      )
    let regeneration = underWay ?? newRegeneration()
    const isResumed = underWay?.machinesAreNew === true
    // Only before anything is moved: afterwards nothing can authenticate with the old machines.
    const withBackup = options['final-snapshot'] === true && underWay === undefined
    if (options['final-snapshot'] === true && !withBackup)
      log.warn(
        'no backup is taken: the interrupted run that this one resumes has already archived secrets',
      )
    const names = new Set(cluster.nodes.map(({ name }) => name))
    const archive = await planArchive(cluster, regeneration)
    if (underWay === undefined && archive.length > 0 && !archive.some(isSecrets))
      log.warn(
        `secrets.yaml is missing; to keep the cluster and its data, recover it first: ${commandFor(cluster, 'bootstrap:recover-secrets')}`,
      )
    const machines: Change[] = []
    const collect = (changes: readonly Change[]): ExitCode => (machines.push(...changes), 0)
    if (!regeneration.machinesAreNew)
      await recreateMachines({ ...context, dryRun: true, showPlan: collect }, names)
    const unsaved = withBackup || underWay !== undefined ? [] : await planUnsaved(cluster)
    const changes = [
      ...describeLosses(cluster, regeneration),
      ...unsaved,
      ...(withBackup ? [planFinalBackup(cluster)] : []),
      ...archive,
      ...machines,
    ]
    if (dryRun) return showPlan(changes)
    confirm(changes)
    await checkTools(cluster)
    if (withBackup) log.info(`   the backup is ${await takeFinalBackup(cluster)}`)
    await archiveSecrets(cluster, regeneration, archive, log)
    if (!regeneration.machinesAreNew) {
      await recreateMachines(context, names)
      regeneration = await noteNewMachines(cluster, regeneration)
    }
    const within = 'cluster:regenerate-secrets'
    await configure({ ...context, within })
    await startCluster({ ...context, within })
    await waitForHealth(context)
    await proveOldAccessRefused(cluster, regeneration.archive, log)
    // From here on the same command would regenerate the secrets again.
    await endRegeneration(cluster)
    log.info(`   only storage is left: ${commandFor(cluster, 'storage:install')} repeats it`)
    await installStorage(context)
    answer(
      [
        `Cluster ${cluster.name} runs with new secrets. The old ones are in generated/${cluster.name}/${regeneration.archive}.`,
        ...(isResumed
          ? [
              'This completed an interrupted regeneration. Run it again if these secrets leaked, too.',
            ]
          : []),
      ].join('\n'),
    )
  },
})

/** Throws NOT_STARTED for a cluster that never existed, or was destroyed: there is nothing to confirm or to recreate. */
async function refuseNothing(
  cluster: Cluster,
  hosts: () => Promise<readonly Host[]>,
): Promise<void> {
  if (await hasTraces(cluster)) return
  const observed = await observeHosts(cluster, await hosts())
  if (observed.some((host) => clusterDomains(cluster, host).length > 0)) return
  throw notStarted(
    cluster,
    `there are no secrets to regenerate: no host has a machine of it, and generated/${cluster.name} has none of its files`,
  )
}

/** What the stages after the archive need: without it nothing begins. */
async function checkTools(cluster: Cluster): Promise<void> {
  await checkNewConfigs(cluster, await openTalosctl(cluster))
  // The proof at the end is kubectl's.
  await findTool('kubectl', cluster)
  if (cluster.settings.NFS_SERVER !== undefined) await findTool('helm', cluster)
}

function isSecrets({ target }: Change): boolean {
  return target === 'secrets.yaml'
}
