/** The client of a cluster's Kubernetes API: plain HTTPS with the kubeconfig's certificate. */
import { generatedFiles, type Cluster } from '@talosmith/core'
import { ApiUnreachable, statusOf } from './errors.ts'
import { parseKubeconfig } from './kubeconfig.ts'
import { pathOf, type KubeObject } from './objects.ts'
import { openTransport, type Ask, type AskOptions } from './transport.ts'

/** The Kubernetes API of one cluster. Every method throws what `ask` throws. */
export interface Kubernetes {
  readonly ask: Ask
  /** The body of a GET, as text: /readyz, /metrics, the log of a pod. */
  read(path: string, options?: AskOptions): Promise<string>
  /** One object; undefined: the API has none of that name. */
  get<T>(path: string, options?: AskOptions): Promise<T | undefined>
  /** The items of a list; `labels` is a label selector. */
  list<T>(path: string, options?: AskOptions & { readonly labels?: string }): Promise<readonly T[]>
  /** Creates objects or changes them to these, one after the other, by server-side apply. */
  apply(objects: readonly KubeObject[]): Promise<void>
  /** Changes an object by a merge patch; with metadata.resourceVersion in it, only as it was observed. */
  patch(path: string, change: object): Promise<void>
  /** Deletes an object, or all of a list; what does not exist is deleted already. Does not wait for its end. */
  delete(path: string): Promise<void>
  /** Asks a pod to leave its node; its PodDisruptionBudgets may refuse. */
  evict(pod: { readonly namespace: string; readonly name: string }): Promise<void>
}

/**
 * Opens the cluster's API with its kubeconfig. A health check asks many small questions, and a kubectl
 * process for each would cost more than all of them together.
 */
export async function openKubernetes(cluster: Cluster): Promise<Kubernetes> {
  const text = await generatedFiles(cluster).read('kubeconfig')
  if (text === undefined) throw new Error('there is no kubeconfig')
  return kubernetesOver(openTransport(parseKubeconfig(text)))
}

/** The client over whatever sends its requests. */
export function kubernetesOver(ask: Ask): Kubernetes {
  const read: Kubernetes['read'] = (path, options) => ask({ method: 'GET', path }, options)
  return {
    ask,
    read,
    async get<T>(path: string, options?: AskOptions) {
      const text = await unlessMissing(read(path, options))
      return text === undefined ? undefined : parse<T>(text)
    },
    async list<T>(path: string, { labels, ...options }: AskOptions & { labels?: string } = {}) {
      const query = labels === undefined ? '' : `?labelSelector=${encodeURIComponent(labels)}`
      return parse<{ items: readonly T[] }>(await read(`${path}${query}`, options)).items
    },
    async apply(objects) {
      for (const object of objects)
        await ask({
          method: 'PATCH',
          path: `${pathOf(object)}?fieldManager=talosmith&force=true`,
          body: object,
          contentType: 'application/apply-patch+yaml',
        })
    },
    async patch(path, body) {
      await ask({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' })
    },
    async delete(path) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' }
      await unlessMissing(ask({ method: 'DELETE', path, body }))
    },
    async evict({ namespace, name }) {
      await ask({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods/${name}/eviction`,
        body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } },
      })
    },
  }
}

async function unlessMissing(answer: Promise<string>): Promise<string | undefined> {
  try {
    return await answer
  } catch (error) {
    if (statusOf(error) === 404) return undefined
    throw error
  }
}

/** A proxy or a server that ends may answer 200 with something else. */
function parse<T>(text: string): T {
  try {
    return JSON.parse(text) as T
  } catch {
    throw new ApiUnreachable('incomplete', 'it answers with something else than JSON')
  }
}
