/** What the Kubernetes API of the simulated world answers besides what the Simulation of bootstrap knows. */
import type { KubernetesAnswer } from './listeners.ts'

/** The answer to a GET; undefined: the Simulation has it. `count` is the number of machines that run. */
export function answerOfKubernetes(
  url: string,
  { uid, count }: { readonly uid: string | undefined; readonly count: number },
): KubernetesAnswer | undefined {
  const [path = '', query = ''] = url.split('?')
  if (path === '/readyz') return { status: 200, text: 'ok' }
  if (path === '/api/v1/namespaces/kube-system') return json({ metadata: { uid } })
  if (query.includes('labelSelector')) return list([])
  if (path === `${apps}/deployments`) return list([coredns])
  if (path === `${apps}/daemonsets`)
    return list(['kube-flannel', 'kube-proxy'].map((name) => daemonSet(name, count)))
  if (/\/(?:secrets|persistentvolumes|persistentvolumeclaims)$/.test(path)) return list([])
  // There is no storage.
  return /^\/apis\/(?:storage|apps)|\/secrets\/[^/]+$/.test(path)
    ? { status: 404, text: '{"message":"not found"}' }
    : undefined
}

const apps = '/apis/apps/v1/namespaces/kube-system'

const coredns = {
  metadata: { name: 'coredns', generation: 1 },
  spec: { replicas: 2 },
  status: { observedGeneration: 1, updatedReplicas: 2, availableReplicas: 2 },
}

function daemonSet(name: string, count: number): object {
  const scheduled = { desiredNumberScheduled: count, updatedNumberScheduled: count }
  const status = { observedGeneration: 1, ...scheduled, numberAvailable: count }
  return { metadata: { name, generation: 1 }, status }
}

function list(items: readonly object[]): KubernetesAnswer {
  return json({ items })
}

function json(body: object): KubernetesAnswer {
  return { status: 200, text: JSON.stringify(body) }
}
