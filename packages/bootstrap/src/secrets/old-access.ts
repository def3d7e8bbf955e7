/** Proves that the access files from before a regeneration no longer work. */
import {
  CommandFailed,
  directToMachines,
  findTool,
  generatedFiles,
  local,
  Problem,
  type Cluster,
  type Log,
} from '@talosmith/core'
import { openTalosctl } from '@talosmith/clients/talos'

/**
 * Errors by which Talos, Kubernetes and their clients reject certificates; the alerts are those of Go's
 * crypto/tls. A handshake that only ends early does not count: a server that restarts does that, too.
 */
const refusal =
  /x509: |tls: (?:(?:bad|expired|revoked|unknown|unsupported) certificate|certificate required|access denied)|Unauthorized/i

/**
 * Tries the archived access files with the real clients, and expects to be refused. Throws OLD_ACCESS_WORKS
 * when a file still works, OLD_ACCESS_UNKNOWN when no answer comes. Skips files that the archive does not have.
 */
export async function proveOldAccessRefused(
  cluster: Cluster,
  archive: string,
  log: Log,
): Promise<void> {
  const files = generatedFiles(cluster)
  const [controlPlane] = cluster.controlPlanes
  const clients: [file: string, client: string, ask: (path: string) => Promise<unknown>][] = [
    [
      'talosconfig',
      'talosctl',
      async () => {
        const talosctl = await openTalosctl(cluster, `${archive}/talosconfig`)
        await talosctl.ask([controlPlane?.address ?? ''], ['version'])
      },
    ],
    [
      'kubeconfig',
      'kubectl',
      async (path) => {
        const kubectl = await findTool('kubectl', cluster)
        const limits = ['--request-timeout=15s']
        await local.$({
          timeoutMs: 30_000,
          env: directToMachines(cluster),
        })`${kubectl.path} --kubeconfig ${path} ${limits} get --raw /api`
      },
    ],
  ]
  for (const [name, client, ask] of clients) {
    const file = `${archive}/${name}`
    if (!(await files.has(file))) continue
    await expectRefusal(name, client, () => ask(files.path(file)))
    log.already(`${client} is refused with the old ${name}`)
  }
}

/** Throws unless `ask` fails because its certificate is rejected. */
export async function expectRefusal(
  name: string,
  client: string,
  ask: () => Promise<unknown>,
): Promise<void> {
  try {
    await ask()
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    if (refusal.test(error.stderr)) return
    throw new Problem(
      'OLD_ACCESS_UNKNOWN',
      `could not determine whether the old ${name} is refused`,
      {
        cause: error,
        now: 'the cluster runs with its new secrets',
        hint: 'run the same command again',
      },
    )
  }
  throw new Problem('OLD_ACCESS_WORKS', `${client} still has access with the old ${name}`, {
    now: 'the machines were recreated, but a server at their addresses accepts the old certificates',
    hint: 'check whether other machines have these addresses: npx nx run cluster:status',
  })
}
