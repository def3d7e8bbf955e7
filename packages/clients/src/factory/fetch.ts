/** fetch as curl and Go do it: through the proxy that the environment names. */
import { proxyFor } from '@talosmith/core'

/**
 * The global fetch, or undici's own with a ProxyAgent. Node's own fetch asks no proxy, unless NODE_USE_ENV_PROXY is set,
 * from Node 24 on: https://nodejs.org/api/cli.html#node_use_env_proxy1. An agent of the undici package does not fit the
 * undici inside another version of Node, so that its fetch comes from the same package.
 */
export async function fetchThroughProxy(url: string, init: RequestInit): Promise<Response> {
  const proxy = proxyFor(url)
  if (proxy === undefined) return fetch(url, init)
  const { fetchThrough } = await import('./through-proxy.ts')
  return fetchThrough(proxy, url, init)
}
