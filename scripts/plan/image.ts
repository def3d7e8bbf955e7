/** The image part of a plan. */
import { checkOffer, observeFactory, quickRequest } from '@talosmith/clients/factory'
import { clusterOn, silentLog, type Cluster, type Host } from '@talosmith/core'
import { observeImage, planBuild, planDownload } from '@talosmith/image'
import { attempt, partOf, type Attempt } from './attempt.ts'
import type { PartPlan } from './report.ts'

/** What image:build and image:download would do. If nothing is to be downloaded, the factory need not answer. */
export async function planImage(
  cluster: Cluster,
  hosts: readonly Attempt<Host>[],
  signal: AbortSignal,
): Promise<PartPlan> {
  const [offer, ...images] = await Promise.all([
    attempt(async () => {
      // The image is there already, and the settings do not describe it.
      if (cluster.settings.IMAGE_PATH !== undefined) return []
      const offered = await observeFactory(cluster, { log: silentLog, signal, ...quickRequest })
      checkOffer(cluster, offered)
      return planBuild(cluster, offered)
    }),
    ...hosts
      .flatMap(({ value: host }, index) =>
        host === undefined ? [] : [{ host, here: clusterOn(cluster, index) }],
      )
      .map(({ host, here }) =>
        attempt(async () => planDownload(here, await observeImage(host, here))),
      ),
  ])
  const changes = images.flatMap(({ value }) => value ?? [])
  const unreached = hosts.length - images.length
  const unknown =
    unreached === 0
      ? []
      : [`the image on ${unreached} of ${hosts.length} hosts: they are unreachable`]
  const isNeeded = unreached > 0 || changes.some(({ kind }) => kind === 'download-image')
  if (offer.problem !== undefined && !isNeeded)
    return partOf('image', images, {
      changes,
      unknown,
      notes: [`${offer.problem.message}; nothing has to be downloaded from it`],
    })
  return partOf('image', [offer, ...images], {
    changes: [...(offer.value ?? []), ...changes],
    unknown,
  })
}
