/** talosctl for one cluster, every call with a time limit. */
import {
  directToMachines,
  findTool,
  generatedFiles,
  local,
  type Cluster,
  type Output,
  type Tool,
} from '@talosmith/core'
import { offlineMs, longTimeouts } from './time-limits.ts'

interface AskOptions {
  /** The machines to go through; the machine asked itself, when there is only one. */
  readonly endpoints?: readonly string[]
  readonly timeoutMs?: number
  /** Returns the output of some machines even when others fail. */
  readonly nothrow?: boolean
  /** Called with every line of output. */
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
    local.$({
      ...options,
      env: { TALOSCONFIG: config, ...directToMachines(cluster) },
    })`${path} ${args}`
  return {
    version,
    offline: (...args) => run(args, { timeoutMs: offlineMs }),
    ask(
      nodes,
      args,
      { endpoints: given, timeoutMs = longTimeouts.askMs, nothrow = false, onLine } = {},
    ) {
      const endpoints =
        given ?? (nodes.length === 1 ? nodes : cluster.controlPlanes.map(({ address }) => address))
      const where = ['--endpoints', endpoints.join(','), '--nodes', nodes.join(',')]
      return run(['--talosconfig', config, ...where, ...args], {
        timeoutMs,
        nothrow,
        ...(onLine && { onLine }),
      })
    },
    askInsecurely: (node, args, timeoutMs = longTimeouts.askMs) =>
      run([...args, '--insecure', '--nodes', node], { timeoutMs }),
  }
}
