/** cluster:regenerate-secrets: recreates the cluster with new secrets on new disks; needs CONFIRM=<cluster>. */
import {
  archiveSecrets,
  describeLosses,
  describeRegeneration,
  configure,
  endRegeneration,
  findRegeneration,
  newRegeneration,
  noteNewMachines,
  planArchive,
  planFinalBackup,
  proveOldAccessRefused,
  startCluster,
  takeFinalBackup,
  waitForHealth,
} from '@talosmith/bootstrap'
import { commandFor, findTool, script, type Change, type ExitCode } from '@talosmith/core'
import { installStorage } from '@talosmith/storage'
import { recreateMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary:
    'Recreate the cluster with new secrets on new disks; needs CONFIRM=<cluster>. Lost: its identity, all data in etcd, every kubeconfig, talosconfig and service account token.',
  changes: true,
  losesData: true,
  options: {
    'final-snapshot': {
      type: 'boolean',
      about: 'back up etcd first (or FINAL_SNAPSHOT=true)',
      env: 'FINAL_SNAPSHOT',
    },
  },
  async run(context) {
    const { cluster, log, options, answer, dryRun, showPlan, confirm } = context
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
    const changes = [
      ...describeLosses(cluster, regeneration),
      ...(withBackup ? [planFinalBackup(cluster)] : []),
      ...archive,
      ...machines,
    ]
    if (dryRun) return showPlan(changes)
    confirm(changes)
    if (withBackup) log.info(`   the backup is ${await takeFinalBackup(cluster)}`)
    // The proof at the end is kubectl's: without it nothing begins.
    await findTool('kubectl', cluster)
    await archiveSecrets(cluster, regeneration, archive, log)
    if (!regeneration.machinesAreNew) {
      await recreateMachines(context, names)
      regeneration = await noteNewMachines(cluster, regeneration)
    }
    await configure(context)
    await startCluster(context)
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

function isSecrets({ target }: Change): boolean {
  return target === 'secrets.yaml'
}
