/** A Kubernetes API made of a function; records its requests. */
import { ApiRefusal, kubernetesOver, type Kubernetes } from '@talosmith/clients/kubernetes'

const lists = /\/(?:events|namespaces|nodes|persistentvolumes|persistentvolumeclaims|pods|secrets)$/

/**
 * `find` gives an object, or the items of a list, by its path without the query; what it does not give does
 * not exist. Changes succeed unless `find`, which is told of them too, throws.
 */
export function fakeApi(
  find: (path: string, method: string) => object | readonly object[] | undefined,
): { readonly kubernetes: Kubernetes; readonly requests: string[] } {
  const requests: string[] = []
  const kubernetes = kubernetesOver(async ({ method, path }) => {
    const [bare = ''] = path.split('?')
    requests.push(`${method} ${bare}`)
    const found = find(bare, method) ?? (lists.test(bare) ? [] : undefined)
    if (method !== 'GET') return '{}'
    if (found === undefined) throw new ApiRefusal(404, `${bare} not found`, 'NotFound')
    return JSON.stringify(Array.isArray(found) ? { items: found } : found)
  })
  return { kubernetes, requests }
}
