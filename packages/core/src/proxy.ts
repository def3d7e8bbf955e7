/** HTTP proxies: of this machine's environment, and of the KVM hosts (HOST_PROXY). */
import { contains, isIpv4 } from './addresses.ts'
import type { Cluster } from './cluster.ts'
import type { Settings } from './settings/schema.ts'

type Environment = Readonly<Record<string, string | undefined>>

// oxlint-disable-next-line node/no-process-env -- the proxy is a fact of this machine, not an option
const ofThisMachine: Environment = process.env

const proxyVariables = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const

/**
 * The proxy of the environment for an address, as curl (docs/cmdline-opts/proxy.md, lib/noproxy.c) and Go
 * (golang.org/x/net/http/httpproxy, ProxyFunc) choose it; undefined: ask directly. An entry of NO_PROXY is a name, which
 * also exempts the names below it, an address, or a network; each may have a port. As for Go, this machine itself is exempt.
 */
export function proxyFor(
  url: string,
  environment: Environment = ofThisMachine,
): string | undefined {
  return isThisMachine(new URL(url).hostname) ? undefined : chosenProxy(url, environment)
}

function chosenProxy(url: string, environment: Environment): string | undefined {
  const { protocol, hostname, port } = new URL(url)
  const name = protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  const proxy = environment[name] || environment[name.toUpperCase()] || ''
  const ownPort = port || (protocol === 'https:' ? '443' : '80')
  if (proxy === '') return undefined
  if (exempt(environment).some((entry) => exempts(entry, hostname, ownPort))) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

/**
 * What talosctl, kubectl and helm need in their environment to reach the cluster's machines directly; {} without a
 * proxy. talosctl otherwise connects to machines through HTTPS_PROXY (Talos, pkg/machinery/client/dialer/proxy.go,
 * DynamicProxyDialer), kubectl and helm to the API server (net/http, ProxyFromEnvironment).
 */
export function directToMachines(
  { endpoint, settings: { NETWORK_CIDR: network } }: Pick<Cluster, 'endpoint' | 'settings'>,
  environment: Environment = ofThisMachine,
): Record<string, string> {
  if (!proxyVariables.some((name) => (environment[name] ?? '') !== '')) return {}
  const all = [...new Set([...exempt(environment), network, new URL(endpoint).hostname])].join(',')
  return { NO_PROXY: all, no_proxy: all }
}

/**
 * What curl on a KVM host needs in its environment to use HOST_PROXY, or the proxy of this machine if the host is this
 * machine: sudo drops it (sudoers(5), env_reset). {} without a proxy.
 */
export function hostProxy(
  { HOST_PROXY: proxy }: Pick<Settings, 'HOST_PROXY'>,
  { isLocal }: { readonly isLocal: boolean },
  environment: Environment = ofThisMachine,
): Record<string, string> {
  // curl ignores HTTP_PROXY, which a web server's client could set: it reads http_proxy in lower case only.
  if (proxy !== undefined) return { http_proxy: proxy, https_proxy: proxy, no_proxy: '' }
  if (!isLocal) return {}
  const own = ['http_proxy', 'https_proxy', 'no_proxy'].map((name): [string, string] => [
    name,
    environment[name] || environment[name.toUpperCase()] || '',
  ])
  return Object.fromEntries(own.filter(([, value]) => value !== ''))
}

/** The proxy through which curl on a host, with the environment of `hostProxy`, reaches an address. */
export function proxyOfHost(url: string, ...of: Parameters<typeof hostProxy>): string | undefined {
  return chosenProxy(url, hostProxy(...of))
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || (isIpv4(host) && contains('127.0.0.0/8', host))
}

function exempt(environment: Environment): string[] {
  return (environment['no_proxy'] || environment['NO_PROXY'] || '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
}

function exempts(entry: string, host: string, port: string): boolean {
  const [, name = '', onPort = port] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
  if (name === '*') return true
  if (onPort !== port) return false
  if (isIpv4(host)) return name === host || (isNetwork(name) && contains(name, host))
  const domain = name.replace(/^\*?\./, '')
  return host === domain || host.endsWith(`.${domain}`)
}

function isNetwork(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/')
  return isIpv4(address) && /^\d+$/.test(prefix) && Number(prefix) <= 32
}
