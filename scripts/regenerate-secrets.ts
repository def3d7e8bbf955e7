/** bootstrap:regenerate-secrets: the cluster begins anew, with other secrets, on new disks; needs CONFIRM=<cluster>. */
import {
  archiveSecrets,
  configure,
  endRegeneration,
  findRegeneration,
  newRegeneration,
  noteNewMachines,
  planArchive,
  proveOldAccessRefused,
  startCluster,
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
    let regeneration = (await findRegeneration(cluster)) ?? newRegeneration()
    const names = new Set(cluster.nodes.map(({ name }) => name))
    const archive = await planArchive(cluster, regeneration)
    const machines: Change[] = []
    const collect = (changes: readonly Change[]): ExitCode => (machines.push(...changes), 0)
    if (!regeneration.machinesAreNew)
      await recreateMachines({ ...context, dryRun: true, showPlan: collect }, names)
    if (dryRun) return showPlan([...archive, ...machines])
    confirm([...archive, ...machines])
    await archiveSecrets(cluster, regeneration, archive, log, options['final-snapshot'] === true)
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
