import { CommandFailed, findTool, generatedFiles, local, type Cluster } from '@talosmith/core'

/** kubectl for one cluster: asks, and gives back what it said. Every call has a time limit. */
export type Kubectl = (
  args: readonly string[],
  options?: { readonly server?: string },
) => Promise<string>

const timeoutMs = 20_000

/** Finds kubectl and binds it to the cluster's kubeconfig; `server` asks another address than the endpoint. */
export async function openKubectl(cluster: Cluster): Promise<Kubectl> {
  const { path } = await findTool('kubectl', cluster)
  const config = generatedFiles(cluster).path('kubeconfig')
  return async (args, { server } = {}) => {
    const where = server === undefined ? [] : ['--server', server]
    const { stdout } = await local.$({
      timeoutMs,
    })`${path} --kubeconfig ${config} --request-timeout=10s ${where} ${args}`
    return stdout
  }
}

/** The last thing that kubectl said when it failed. */
export function kubeReason(error: unknown): string {
  if (!(error instanceof CommandFailed)) return String(error)
  const line = error.stderr
    .split('\n')
    .filter((text) => text.trim() !== '')
    .at(-1)
  return (
    line
      ?.replace(/^(?:Error from server|error|Unable to connect to the server)[^:]*: /, '')
      .trim() ?? error.message
  )
}
