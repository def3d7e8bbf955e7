/** image:download: puts the verified image into each host's pool. */
import { applyAll, script } from '@talosmith/core'
import { applyChange, observeImage, planDownload } from '../src/index.ts'

export default script(import.meta, {
  summary: "Put the verified image into each host's pool.",
  changes: true,
  async run({ cluster, hosts, log, dryRun, showPlan, signal }) {
    const work = await Promise.all(
      (await hosts()).map(async (host) => ({ host, seen: await observeImage(host, cluster) })),
    )
    const planned = work.flatMap(({ host, seen }) =>
      planDownload(cluster, seen).map((change) => ({ ...change, host })),
    )
    if (dryRun) return showPlan(planned.map(({ host: _, ...change }) => change))
    await applyAll(
      planned,
      ({ host, ...change }) => applyChange(change, { cluster, host, log, signal }),
      {
        log,
        parallelBy: ({ host }) => host.name,
      },
    )
    if (planned.length === 0)
      log.already(`the image is on ${work.map(({ host }) => host.name).join(', ')}`)
  },
})
