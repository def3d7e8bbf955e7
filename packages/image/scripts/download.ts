/** image:download: downloads the image to each host's pool and verifies it. */
import { applyAll, script } from '@talosmith/core'
import { applyImageChange, observeImage, planDownload } from '../src/index.ts'

export default script(import.meta, {
  summary: "Download the image to each host's pool and verify it.",
  changes: true,
  async run({ cluster, hosts, log, dryRun, json, answer, showPlan, signal }) {
    const work = await Promise.all(
      (await hosts()).map(async (host) => ({ host, observed: await observeImage(host, cluster) })),
    )
    const planned = work.flatMap(({ host, observed }) =>
      planDownload(cluster, observed).map((change) => ({ host, change })),
    )
    if (dryRun) return showPlan(planned.map(({ change }) => change))
    const hostOf = new Map(planned.map(({ host, change }) => [change, host]))
    await applyAll(
      [...hostOf.keys()],
      (change, { progress }) => {
        const host = hostOf.get(change)
        return applyImageChange(change, { cluster, log, signal, progress, ...(host && { host }) })
      },
      { log, parallelBy: (change) => hostOf.get(change)?.name ?? '' },
    )
    const images = work.map(({ host, observed }) => ({ host: host.name, path: observed.path }))
    if (planned.length === 0) images.forEach(({ path, host }) => log.already(`${path} on ${host}`))
    answer(json ? images : images.map(({ host, path }) => `${path} on ${host}`).join('\n'))
  },
})
