/** image:prune: removes the images that no disk uses; they can be downloaded again. */
import { applyAll, clusterOn, script } from '@talosmith/core'
import { applyPrune, describeKept, observeImages, planPrune } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Remove the downloaded images that no disk uses; they can be downloaded again.',
  changes: true,
  async run({ cluster, hosts, log, dryRun, showPlan }) {
    const opened = await hosts()
    const observed = await Promise.all(
      opened.map((host, index) => observeImages(host, clusterOn(cluster, index))),
    )
    for (const kept of describeKept(observed)) log.info(`   left alone: ${kept}`)
    const changes = planPrune(observed)
    if (dryRun) return showPlan(changes)
    if (changes.length === 0) log.already('no image to remove')
    await applyAll(
      changes,
      async (change) => {
        const host = opened[change.host]
        if (host === undefined) throw new Error(`no host ${change.host}`)
        const here = clusterOn(cluster, change.host)
        const pool = here.settings.STORAGE_POOL
        await applyPrune(change, { host, pool }, () => observeImages(host, here))
      },
      { log },
    )
  },
})
