import {
  CommandFailed,
  findTool,
  generatedFiles,
  local,
  Problem,
  type Cluster,
  type Log,
} from '@talosmith/core'
import { openTalosctl } from '@talosmith/clients/talos'

/**
 * How Talos, Kubernetes and their clients say that they do not know each other (any more); the alerts are
 * those of Go's crypto/tls. A handshake that only ends early is no refusal: whoever restarts does that too.
 */
const refusal =
  /x509: |tls: (?:(?:bad|expired|revoked|unknown|unsupported) certificate|certificate required|access denied)|Unauthorized/i

/**
 * Asks with the access files of an archive, by the real clients, and expects to be refused. Throws
 * OLD_ACCESS_WORKS when one is let in, OLD_ACCESS_UNKNOWN when nobody answers. Files that the archive does
 * not have are passed over.
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

/** Throws unless `ask` is refused by somebody who does not know the certificates. */
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
    throw new Problem('OLD_ACCESS_UNKNOWN', `whether the old ${name} is refused is not known`, {
      cause: error,
      now: 'the cluster runs with its new secrets',
      hint: 'run the same command again',
    })
  }
  throw new Problem('OLD_ACCESS_WORKS', `${client} is let in with the old ${name}`, {
    now: 'the machines were made anew, and yet somebody at their addresses takes the old certificates',
    hint: 'look whether other machines have these addresses: npx nx run cluster:status',
  })
}
