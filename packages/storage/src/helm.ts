/** helm of one cluster, as a process: releases are made by helm itself. */
import {
  directToMachines,
  findTool,
  generatedFiles,
  local,
  type Cluster,
  type Host,
} from '@talosmith/core'

/** Runs helm with the cluster's kubeconfig; its stdout. Throws CommandFailed. */
export type Helm = (args: readonly string[], input?: string) => Promise<string>

const helmTimeoutMs = 300_000

/** Binds helm to the cluster's kubeconfig; it is not looked for before it is needed. `host` is where it runs: this machine. */
export function openHelm(
  cluster: Cluster,
  host: Host = local,
  find: typeof findTool = findTool,
): Helm {
  const kubeconfig = generatedFiles(cluster).path('kubeconfig')
  let helmPath: Promise<string> | undefined
  return async (args, input) => {
    const path = await (helmPath ??= find('helm', cluster).then((tool) => tool.path))
    const { stdout } = await host.$({
      timeoutMs: helmTimeoutMs,
      env: directToMachines(cluster),
      ...(input === undefined ? {} : { input }),
    })`${path} ${args} --kubeconfig ${kubeconfig}`
    return stdout
  }
}
