import { connect } from 'node:net'
import { generatedFiles, type Cluster, type Node } from '@talosmith/core'
import { configFile } from './machine-config.ts'
import { parseResources, talosReason, type Talosctl } from './talosctl.ts'

/** Where a machine is on its way to being configured. */
export type NodeState =
  /** Waits for its config. */
  | { readonly kind: 'maintenance' }
  /** Has a config of our secrets. */
  | { readonly kind: 'configured'; readonly config: string }
  /** Has a config of other secrets than ours. */
  | { readonly kind: 'foreign'; readonly reason: string }
  /** Does not answer (yet). */
  | { readonly kind: 'silent'; readonly reason: string }

export interface ObservedNode {
  readonly node: Node
  readonly state: NodeState
}

/** Talos' API port (constants.ApidPort). */
const apiPort = 50_000

/**
 * The state of every machine. All at once while the cluster is well; otherwise each by itself.
 */
export async function observeNodes(cluster: Cluster, talosctl: Talosctl): Promise<ObservedNode[]> {
  const isKnown = await generatedFiles(cluster).has('talosconfig')
  const configs = isKnown ? await readConfigs(cluster, talosctl) : new Map<string, string>()
  return Promise.all(
    cluster.nodes.map(async (node) => {
      const config = configs.get(node.address)
      return {
        node,
        state:
          config === undefined
            ? await observeNode(node, talosctl, isKnown)
            : { kind: 'configured', config },
      }
    }),
  )
}

async function readConfigs({ nodes }: Cluster, talosctl: Talosctl): Promise<Map<string, string>> {
  try {
    const { stdout } = await talosctl.ask(
      nodes.map(({ address }) => address),
      getConfig,
      { timeoutMs: 10_000 },
    )
    return new Map(parseResources<string>(stdout).map(({ node, spec }) => [node, spec]))
  } catch {
    return new Map()
  }
}

const getConfig = ['get', 'machineconfig', 'v1alpha1', '-o', 'json']

/** The state of one machine, asked without a detour over others. */
export async function observeNode(
  { address }: Node,
  talosctl: Talosctl,
  isKnown: boolean,
): Promise<NodeState> {
  const closed = await portRefusal(address)
  if (closed !== undefined) return { kind: 'silent', reason: closed }
  if (isKnown)
    try {
      const { stdout } = await talosctl.ask([address], getConfig, {
        direct: true,
        timeoutMs: 10_000,
      })
      const [config] = parseResources<string>(stdout)
      if (config !== undefined) return { kind: 'configured', config: config.spec }
    } catch (error) {
      // A machine in maintenance mode shows a certificate that no CA of ours has signed.
      if (!/x509|certificate|tls:/i.test(talosReason(error)))
        return { kind: 'silent', reason: talosReason(error) }
    }
  try {
    await talosctl.askInsecurely(address, ['get', 'machinestatus', '-o', 'json'], 10_000)
    return { kind: 'maintenance' }
  } catch (error) {
    const reason = talosReason(error)
    return /certificate required|bad certificate/.test(reason)
      ? { kind: 'foreign', reason }
      : { kind: 'silent', reason }
  }
}

/** Why nothing listens on a machine's API port; undefined when something does. */
function portRefusal(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: apiPort, timeout: 3000 })
    const end = (reason: string | undefined): void => {
      socket.destroy()
      resolve(reason)
    }
    socket.once('connect', () => end(undefined))
    socket.once('timeout', () => end(`${address} does not answer; it may still be booting`))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(
        error.code === 'ECONNREFUSED'
          ? `${address} is up, but Talos does not listen on ${apiPort} yet`
          : `${address}: ${error.code ?? error.message}`,
      ),
    )
  })
}

/** The config that a node should have. */
export async function desiredConfig(cluster: Cluster, node: Node): Promise<string> {
  return (await generatedFiles(cluster).read(configFile(node))) ?? ''
}

/** Whether etcd runs, or ran and was stopped, on each control plane; a machine that can't say is missing. */
export async function observeEtcd(
  { controlPlanes }: Cluster,
  talosctl: Talosctl,
): Promise<Map<string, boolean>> {
  const states = new Map<string, boolean>()
  await Promise.all(
    controlPlanes.map(async ({ address }) => {
      try {
        const { stdout } = await talosctl.ask([address], ['get', 'service', 'etcd', '-o', 'json'], {
          direct: true,
          timeoutMs: 10_000,
        })
        const [service] = parseResources<{ running: boolean }>(stdout)
        states.set(address, service?.spec.running === true)
      } catch {
        // A service that was never started has no resource: NotFound. Anything else shows when bootstrap is tried.
        states.set(address, false)
      }
    }),
  )
  return states
}
