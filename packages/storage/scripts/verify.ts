/** storage:verify: verifies storage with a real claim, written on one node and read on the others. */
import { script } from '@talosmith/core'
import { describeProof, openStorage, proveStorage } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Write and read through a real claim, and remove it again.',
  changes: true,
  async run({ cluster, log, dryRun, json, answer, showPlan }) {
    if (cluster.settings.NFS_SERVER === undefined) {
      if (dryRun) return showPlan([])
      return log.already('no NFS_SERVER: no storage to verify')
    }
    const kubernetes = await openStorage({ cluster })
    const target = cluster.settings.NFS_SERVER
    const summary = 'Write and read through a claim, and remove it again'
    if (dryRun) return showPlan([{ kind: 'prove-storage', target, summary, risk: 'none' }])
    const proof = await proveStorage(cluster, kubernetes, log)
    answer(json ? proof : describeProof(cluster, proof))
  },
})
