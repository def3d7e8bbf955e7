/** The last stage of cluster:destroy: when nothing is left on the hosts, what was set aside goes too. */
import { applyAll, commandFor, generatedFiles, Problem, script } from '@talosmith/core'
import { observeRemovableFiles } from '@talosmith/bootstrap'
import { checkHosts, observeHosts } from '@talosmith/vm'
import { observeNotes, planLast, planUnfinished } from './destroy/remains.ts'

export default script(import.meta, {
  summary: 'End a destroy: remove what was set aside, once the hosts hold nothing of the cluster.',
  changes: true,
  losesData: true,
  async run({ cluster, hosts, log, dryRun, answer, confirm, showPlan }) {
    const { name } = cluster
    await checkHosts(cluster)
    const left = planUnfinished(cluster, await observeHosts(cluster, await hosts()))
    if (left.length > 0)
      throw new Problem('DESTROY_UNFINISHED', `something of cluster ${name} is left`, {
        because: left.map(({ summary }) => `still to do: ${summary}`).join('\n'),
        now: 'nothing was changed',
        hint: `CONFIRM=${name} ${commandFor(cluster, 'cluster:destroy')}`,
      })
    const changes = planLast(
      cluster,
      await observeRemovableFiles(cluster),
      await observeNotes(cluster),
    )
    if (dryRun) return showPlan(changes)
    confirm(changes)
    await applyAll(changes, ({ target }) => generatedFiles(cluster).remove(target), { log })
    answer(
      `Nothing of cluster ${name} is left. Images stay (${commandFor(cluster, 'image:prune')}), and so does data on an NFS server.`,
    )
  },
})
