/** How a run acts and looks: the project's commands, and kubectl, talosctl and virsh, which do not know the project. */
import { spawn } from 'node:child_process'
import {
  findTool,
  generatedFiles,
  local,
  openHost,
  projectRoot,
  type Cluster,
} from '@talosmith/core'

export type Settings = Readonly<Record<string, string>>

export interface World {
  /** Runs a target as a user does, with its output shown; resolves with its exit code. */
  run(target: string, settings: Settings): Promise<number>
  kubectl(...args: readonly string[]): Promise<string>
  talosctl(...args: readonly string[]): Promise<string>
  /** Names of all domains on all hosts. */
  domains(): Promise<readonly string[]>
}

export function openWorld(cluster: Cluster): World {
  const files = generatedFiles(cluster)
  const query = async (name: 'kubectl' | 'talosctl', args: readonly string[]): Promise<string> => {
    const { path } = await findTool(name, cluster)
    const access =
      name === 'kubectl'
        ? ['--kubeconfig', files.path('kubeconfig')]
        : ['--talosconfig', files.path('talosconfig')]
    return (await local.$({ timeoutMs: 120_000 })`${path} ${access} ${args}`).stdout
  }
  return {
    run: (target, settings) =>
      new Promise((resolve, reject) => {
        const env = { ...process.env, ...settings, CLUSTER: cluster.file, NX_TUI: 'false' }
        const child = spawn('npx', ['nx', 'run', target], {
          ...{ cwd: projectRoot, env, stdio: ['ignore', 'inherit', 'inherit'] },
        })
        child.on('error', reject)
        child.on('close', (code) => resolve(code ?? 130))
      }),
    kubectl: (...args) => query('kubectl', args),
    talosctl: (...args) => query('talosctl', args),
    domains: async () => (await onHosts(cluster, 'virsh -q list --all --name')).flat(),
  }
}

/** The output of a command on every host, in lines. */
export async function onHosts(cluster: Cluster, command: string): Promise<string[][]> {
  return Promise.all(
    cluster.settings.LIBVIRT_URI.map(async (uri) => {
      const host = await openHost(uri, projectRoot)
      try {
        const { stdout } = await host.$`sh -c ${command}`
        return stdout.split('\n').filter(Boolean)
      } finally {
        await host.close()
      }
    }),
  )
}
