/** image:download: downloads the image to each host's pool and verifies it. */
import { applyAll, clusterOn, script } from '@talosmith/core'
import { applyImageChange, observeImage, planDownload } from '../src/index.ts'

export default script(import.meta, {
  summary: "Download the image to each host's pool and verify it.",
  changes: true,
  async run({ cluster, hosts, log, dryRun, json, answer, showPlan, signal }) {
    const work = await Promise.all(
      (await hosts()).map(async (host, index) => {
        const here = clusterOn(cluster, index)
        return { host, here, observed: await observeImage(host, here) }
      }),
    )
    const planned = work.flatMap(({ host, here, observed }) =>
      planDownload(here, observed).map((change) => ({ host, here, change })),
    )
    if (dryRun) return showPlan(planned.map(({ change }) => change))
    const placeOf = new Map(planned.map(({ change, ...place }) => [change, place]))
    await applyAll(
      [...placeOf.keys()],
      (change, { progress }) => {
        const { here = cluster, host } = placeOf.get(change) ?? {}
        return applyImageChange(change, {
          ...{ cluster: here, log, signal, progress },
          ...(host && { host }),
        })
      },
      { log, parallelBy: (change) => placeOf.get(change)?.host.name ?? '' },
    )
    const images = work.map(({ host, observed }) => ({ host: host.name, path: observed.path }))
    if (planned.length === 0) images.forEach(({ path, host }) => log.already(`${path} on ${host}`))
    answer(json ? images : images.map(({ host, path }) => `${path} on ${host}`).join('\n'))
  },
})
