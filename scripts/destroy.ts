/** The last stage of cluster:destroy: deletes the files that were set aside, once nothing is left on the hosts. */
import { applyAll, commandFor, generatedFiles, Problem, script } from '@talosmith/core'
import { noteDestroyed, observeKeptFiles, observeRemovableFiles } from '@talosmith/bootstrap'
import { checkHosts, observeHosts } from '@talosmith/vm'
import { observeNotes, planLast, planUnfinished } from './destroy/remains.ts'

export default script(import.meta, {
  summary:
    'Finish a destroy: delete the files set aside, once nothing of the cluster is left on the hosts.',
  changes: true,
  losesData: true,
  async run({ cluster, hosts, log, dryRun, answer, confirm, showPlan }) {
    const { name } = cluster
    await checkHosts(cluster)
    const left = planUnfinished(cluster, await observeHosts(cluster, await hosts()))
    if (left.length > 0)
      throw new Problem('DESTROY_UNFINISHED', `parts of cluster ${name} are still on its hosts`, {
        because: [
          'this is only the last stage of cluster:destroy, which deletes files here; the stages before it remove what is on the hosts',
          ...left.map(({ summary }) => `still to do: ${summary}`),
        ].join('\n'),
        now: 'nothing was changed',
        hint: `to run all stages: CONFIRM=${name} ${commandFor(cluster, 'cluster:destroy')}`,
      })
    const changes = planLast(
      cluster,
      await observeRemovableFiles(cluster),
      await observeNotes(cluster),
      await observeKeptFiles(cluster),
    )
    if (dryRun) return showPlan(changes)
    confirm(changes)
    await applyAll(
      changes,
      ({ kind, target }) =>
        kind === 'note-destroyed' ? noteDestroyed(cluster) : generatedFiles(cluster).remove(target),
      { log },
    )
    answer(
      `Cluster ${name} is destroyed. Images are kept (remove them with ${commandFor(cluster, 'image:prune')}), and so is data on an NFS server.`,
    )
  },
})
