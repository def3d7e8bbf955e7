import type { Cluster } from '@talosmith/core'
import { ApiRefusal, NotOurApi, type WritableKubernetes } from './client.ts'

/**
 * Kubernetes asked at the control planes' own addresses, whichever answers: the shared address moves in
 * the middle of an upgrade, and what was asked there is lost with it.
 */
export function throughNodes(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  kubernetes: WritableKubernetes,
): WritableKubernetes {
  let good = 0
  const ask = async (one: (server: string) => Promise<string>): Promise<string> => {
    let failure: unknown = new Error('there is no control plane')
    for (let tries = 0; tries < controlPlanes.length; tries++) {
      const index = (good + tries) % controlPlanes.length
      try {
        const answer = await one(`https://${controlPlanes[index]?.address}:6443`)
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
  }
  return {
    get: (path, options) =>
      options?.server === undefined
        ? ask((server) => kubernetes.get(path, { ...options, server }))
        : kubernetes.get(path, options),
    send: (request, options) => ask((server) => kubernetes.send(request, { ...options, server })),
  }
}

/** The items of a list. */
export async function listOf<T>(
  kubernetes: Pick<WritableKubernetes, 'get'>,
  path: string,
): Promise<readonly T[]> {
  return (JSON.parse(await kubernetes.get(path)) as { items: T[] }).items
}
