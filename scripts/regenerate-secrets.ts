/** cluster:regenerate-secrets: the cluster begins anew, with other secrets, on new disks; needs CONFIRM=<cluster>. */
import {
  archiveSecrets,
  describeLosses,
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
import { script, type Change, type ExitCode } from '@talosmith/core'
import { installStorage } from '@talosmith/storage'
import { recreateMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary:
    'Begin the cluster anew with other secrets, on new disks; needs CONFIRM=<cluster>. Lost: its identity, all that etcd holds, every kubeconfig, talosconfig and service account token.',
  changes: true,
  losesData: true,
  options: {
    'final-snapshot': {
      type: 'boolean',
      about: 'take an etcd snapshot first (or FINAL_SNAPSHOT=true)',
      env: 'FINAL_SNAPSHOT',
    },
  },
  async run(context) {
    const { cluster, log, options, answer, dryRun, showPlan, confirm } = context
    const underWay = await findRegeneration(cluster)
    let regeneration = underWay ?? newRegeneration()
    // Only before anything is moved: afterwards nobody can ask the old machines.
    const withSnapshot = options['final-snapshot'] === true && underWay === undefined
    if (options['final-snapshot'] === true && !withSnapshot)
      log.warn('no snapshot is taken: the run that this one goes on with has begun to archive')
    const names = new Set(cluster.nodes.map(({ name }) => name))
    const archive = await planArchive(cluster, regeneration)
    const machines: Change[] = []
    const collect = (changes: readonly Change[]): ExitCode => (machines.push(...changes), 0)
    if (!regeneration.machinesAreNew)
      await recreateMachines({ ...context, dryRun: true, showPlan: collect }, names)
    const changes = [
      ...describeLosses(cluster, regeneration),
      ...(withSnapshot ? [planFinalBackup(cluster)] : []),
      ...archive,
      ...machines,
    ]
    if (dryRun) return showPlan(changes)
    confirm(changes)
    if (withSnapshot) log.info(`   the backup is ${await takeFinalBackup(cluster)}`)
    await archiveSecrets(cluster, regeneration, archive, log)
    if (!regeneration.machinesAreNew) {
      await recreateMachines(context, names)
      regeneration = await noteNewMachines(cluster, regeneration)
    }
    await configure(context)
    await startCluster(context)
    await waitForHealth(context)
    await installStorage(context)
    await proveOldAccessRefused(cluster, regeneration.archive, log)
    await endRegeneration(cluster)
    answer(
      `Cluster ${cluster.name} runs with new secrets; the old ones are in generated/${cluster.name}/${regeneration.archive}.`,
    )
  },
})
