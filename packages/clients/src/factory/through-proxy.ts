/** fetch through a proxy, by undici: a module of its own, so that only a run behind a proxy loads the library. */
import { fetch, ProxyAgent } from 'undici'

const agents = new Map<string, ProxyAgent>()

/** undici's fetch through `proxy`. Throws what it throws; a proxy that is not http:// or https:// is a TypeError. */
export function fetchThrough(proxy: string, url: string, init: RequestInit): Promise<Response> {
  // Without a tunnel where the address is http://: many proxies allow CONNECT to port 443 only.
  const dispatcher = agents.get(proxy) ?? new ProxyAgent({ uri: proxy, proxyTunnel: false })
  agents.set(proxy, dispatcher)
  return fetch(url, { ...(init as object), dispatcher })
}
