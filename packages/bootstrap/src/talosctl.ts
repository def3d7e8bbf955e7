import {
  CommandFailed,
  findTool,
  generatedFiles,
  local,
  type Cluster,
  type Output,
} from '@talosmith/core'

/** talosctl for one cluster. Every call has a time limit: before bootstrap some never end by themselves. */
export interface Talosctl {
  readonly version: string
  /** Local work that asks no machine. */
  offline(...args: string[]): Promise<Output>
  /** Asks machines as administrator, each through the control planes or, with `direct`, by itself. */
  ask(
    nodes: readonly string[],
    args: readonly string[],
    options?: { readonly direct?: boolean; readonly timeoutMs?: number },
  ): Promise<Output>
  /** Asks one machine that has no config yet. */
  askInsecurely(node: string, args: readonly string[], timeoutMs?: number): Promise<Output>
}

const defaultTimeoutMs = 20_000

/** Finds talosctl and binds it to the cluster's talosconfig. */
export async function openTalosctl(cluster: Cluster): Promise<Talosctl> {
  const { path, version } = await findTool('talosctl', cluster)
  const config = generatedFiles(cluster).path('talosconfig')
  const endpoints = cluster.controlPlanes.map(({ address }) => address)
  const run = (args: readonly string[], timeoutMs: number): Promise<Output> =>
    // Its own environment could point it at another cluster.
    local.$({ timeoutMs, env: { TALOSCONFIG: config } })`${path} ${args}`
  return {
    version,
    offline: (...args) => run(args, 60_000),
    ask: (nodes, args, { direct = false, timeoutMs = defaultTimeoutMs } = {}) =>
      run(
        [
          '--talosconfig',
          config,
          '-e',
          (direct ? nodes : endpoints).join(','),
          '-n',
          nodes.join(','),
          ...args,
        ],
        timeoutMs,
      ),
    askInsecurely: (node, args, timeoutMs = defaultTimeoutMs) =>
      run([...args, '--insecure', '-n', node], timeoutMs),
  }
}

/** A resource as `talosctl get -o json` prints it. */
export interface Resource<Spec> {
  readonly node: string
  readonly metadata: { readonly id: string; readonly type: string }
  readonly spec: Spec
}

/** Reads what `talosctl get -o json` prints: objects one after the other, without a list around them. */
export function parseResources<Spec>(text: string): Resource<Spec>[] {
  const found: Resource<Spec>[] = []
  let start = -1
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' && depth++ === 0) start = i
    else if (char === '}' && --depth === 0)
      found.push(JSON.parse(text.slice(start, i + 1)) as Resource<Spec>)
  }
  return found
}

/** The part of a gRPC error that says something. */
export function talosReason(error: unknown): string {
  const text = error instanceof CommandFailed ? error.stderr || error.message : String(error)
  const last =
    text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .at(-1) ?? text
  return (
    /desc = (.+)$/.exec(last)?.[1] ??
    (error instanceof CommandFailed && error.stderr === '' ? error.message : last.trim())
  )
}
