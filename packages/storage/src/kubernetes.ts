/** The Kubernetes API as storage uses it: its failures are Problems. */
import { apiProblem, kubernetesOver, openKubernetes } from '@talosmith/clients/kubernetes'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { codes, commandFor, generatedFiles, Problem, type Cluster } from '@talosmith/core'

/** Opens the API of a cluster that has a kubeconfig. Throws NOT_STARTED when that can't be read. */
export async function openApi(cluster: Cluster): Promise<Kubernetes> {
  const kubernetes = await openKubernetes(cluster).catch((cause: unknown) => {
    const path = generatedFiles(cluster).path('kubeconfig')
    throw new Problem(codes.notStarted, `${path} cannot be read`, {
      cause,
      hint: commandFor(cluster, 'bootstrap:start'),
    })
  })
  return withProblems(cluster, kubernetes)
}

/** The same API, whose failures are KUBERNETES_UNREACHABLE, KUBERNETES_REFUSED or API_NOT_OURS. */
export function withProblems(cluster: Cluster, { ask }: Pick<Kubernetes, 'ask'>): Kubernetes {
  return kubernetesOver(async (...args) => {
    try {
      return await ask(...args)
    } catch (error) {
      throw apiProblem(cluster, error)
    }
  })
}

/** For a check inside a wait: an API that does not answer for a moment is "not yet", not the end. */
export async function notYetIfUnreachable<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Problem && error.code === codes.kubernetesUnreachable)
      throw new Error(error.because ?? error.message)
    throw error
  }
}
