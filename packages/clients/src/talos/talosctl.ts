import {
  findTool,
  generatedFiles,
  local,
  type Cluster,
  type Output,
  type Tool,
} from '@talosmith/core'

interface AskOptions {
  /** The machines to go through; the machine asked itself, when there is only one. */
  readonly via?: readonly string[]
  readonly timeoutMs?: number
  /** Gives back what some machines said even when others did not. */
  readonly nothrow?: boolean
  /** Told every line as it comes. */
  readonly onLine?: (line: string) => void
}

/** talosctl for one cluster. Every call has a time limit: before bootstrap some never end by themselves. */
export interface Talosctl {
  readonly version: string
  /** Local work that asks no machine. */
  offline(...args: string[]): Promise<Output>
  /** Asks machines as administrator, in one process. */
  ask(nodes: readonly string[], args: readonly string[], options?: AskOptions): Promise<Output>
  /** Asks one machine that has no config yet. */
  askInsecurely(node: string, args: readonly string[], timeoutMs?: number): Promise<Output>
}

const offlineMs = 60_000
const askMs = 20_000

/** Finds talosctl, unless it is `found`, and binds it to the cluster's talosconfig, by its name in the cluster's folder. */
export async function openTalosctl(
  cluster: Cluster,
  configFile = 'talosconfig',
  found?: Tool,
): Promise<Talosctl> {
  const { path, version } = found ?? (await findTool('talosctl', cluster))
  const config = generatedFiles(cluster).path(configFile)
  const run = (
    args: readonly string[],
    options: Pick<AskOptions, 'nothrow' | 'onLine'> & { readonly timeoutMs: number },
  ): Promise<Output> =>
    // Its own environment could point it at another cluster.
    local.$({ ...options, env: { TALOSCONFIG: config } })`${path} ${args}`
  return {
    version,
    offline: (...args) => run(args, { timeoutMs: offlineMs }),
    ask(nodes, args, { via, timeoutMs = askMs, nothrow = false, onLine } = {}) {
      const endpoints = via ?? (nodes.length === 1 ? nodes : cluster.controlPlanes.map(addressOf))
      const where = ['--endpoints', endpoints.join(','), '--nodes', nodes.join(',')]
      return run(['--talosconfig', config, ...where, ...args], {
        timeoutMs,
        nothrow,
        ...(onLine && { onLine }),
      })
    },
    askInsecurely: (node, args, timeoutMs = askMs) =>
      run([...args, '--insecure', '--nodes', node], { timeoutMs }),
  }
}

function addressOf({ address }: { readonly address: string }): string {
  return address
}
