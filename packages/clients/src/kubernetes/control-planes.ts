/** Kubernetes asked at whichever control plane answers. */
import type { Cluster } from '@talosmith/core'
import { kubernetesOver, type Kubernetes } from './client.ts'
import { ApiRefusal, NotOurApi } from './errors.ts'

/**
 * Kubernetes asked at the control planes' own addresses, whichever answers: the shared address moves in
 * the middle of an upgrade, and what was asked there is lost with it.
 */
export function throughNodes(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  { ask }: Pick<Kubernetes, 'ask'>,
): Kubernetes {
  let good = 0
  return kubernetesOver(async (request, options) => {
    if (options?.server !== undefined) return ask(request, options)
    let failure: unknown = new Error('there is no control plane')
    for (let tries = 0; tries < controlPlanes.length; tries++) {
      const index = (good + tries) % controlPlanes.length
      const server = `https://${controlPlanes[index]?.address}:6443`
      try {
        const answer = await ask(request, { ...options, server })
        good = index
        return answer
      } catch (error) {
        if (error instanceof NotOurApi) throw error
        // A server that starts answers with 5xx; a refusal would be the same everywhere.
        if (error instanceof ApiRefusal && error.status < 500) throw error
        failure = error
      }
    }
    throw failure
  })
}
