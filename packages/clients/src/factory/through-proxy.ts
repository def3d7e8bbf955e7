/** fetch through a proxy, by undici: a module of its own, so that only a run behind a proxy loads the library. */
import { fetch, ProxyAgent } from 'undici'
import { proxyInvalid } from './problems.ts'

const agents = new Map<string, ProxyAgent>()

/** undici's fetch through `proxy`. Throws PROXY_INVALID for one that undici cannot use, and what fetch throws. */
export function fetchThrough(proxy: string, url: string, init: RequestInit): Promise<Response> {
  const dispatcher = agents.get(proxy) ?? agentOf(proxy, url)
  agents.set(proxy, dispatcher)
  return fetch(url, { ...(init as object), dispatcher })
}

function agentOf(proxy: string, url: string): ProxyAgent {
  if (!/^https?:/i.test(proxy)) throw proxyInvalid(url, 'it is neither http:// nor https://')
  try {
    // Without a tunnel where the address is http://: many proxies allow CONNECT to port 443 only.
    return new ProxyAgent({ uri: proxy, proxyTunnel: false })
  } catch {
    throw proxyInvalid(url, 'it is not a valid address')
  }
}
