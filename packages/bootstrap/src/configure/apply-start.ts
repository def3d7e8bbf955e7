/** Bootstraps etcd and fetches the kubeconfig. */
import { commandFor, minute, Unrecoverable, Problem, waitFor, type Node } from '@talosmith/core'
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import { lookAt, type ApplyContext } from './apply-context.ts'
import { etcdServiceProblem } from '@talosmith/clients/etcd'
import { grpcCode, talosReason } from '@talosmith/clients/talos'
import { replaceAccess } from '../generated/replaced-files.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

/** Bootstraps etcd on one machine, from a backup if one is given, and waits until it runs there. Repeating it is harmless. */
export async function bootstrapEtcd(
  { talosctl, log }: ApplyContext,
  node: Node,
  backup?: string,
): Promise<void> {
  const from = backup === undefined ? [] : [`--recover-from=${backup}`]
  const timeoutMs = backup === undefined ? minute / 2 : 10 * minute
  await waitFor(
    `${node.name} to bootstrap etcd`,
    async () => {
      try {
        await talosctl.ask([node.address], ['bootstrap', ...from], { timeoutMs })
      } catch (error) {
        const code = grpcCode(error)
        // An earlier run bootstrapped it.
        if (code === 'AlreadyExists') return
        const reason = talosReason(error)
        if (code === 'Unimplemented' || code === 'PermissionDenied') throw new Unrecoverable(reason)
        throw new Error(reason)
      }
    },
    { log, withinMs: 5 * minute, code: 'BOOTSTRAP_FAILED', hint: lookAt(node) },
  )
  await waitFor(
    `etcd to run on ${node.name}`,
    async () => {
      const reason = await etcdServiceProblem(node, talosctl)
      if (reason !== undefined) throw new Error(reason)
    },
    {
      log,
      withinMs: 10 * minute,
      code: 'BOOTSTRAP_FAILED',
      hint: 'fix what the reason names (registry, name server, clock), then run the same command again',
    },
  )
}

/** Fetches the admin kubeconfig from the first control plane that issues one, and writes it to generated/. */
export async function writeKubeconfig({
  cluster,
  talosctl,
  log,
  secrets,
}: ApplyContext): Promise<void> {
  const text = await withWorkFolder(cluster, (folder) => {
    const path = folder.path('kubeconfig')
    let turn = 0
    return waitFor(
      'a control plane to issue a kubeconfig',
      async () => {
        const node = cluster.controlPlanes[turn++ % cluster.controlPlanes.length]
        try {
          await talosctl.ask(
            [node?.address ?? ''],
            ['kubeconfig', path, '--merge=false', '--force'],
          )
        } catch (error) {
          throw new Error(`${node?.name}: ${talosReason(error)}`)
        }
        return folder.read('kubeconfig')
      },
      {
        log,
        withinMs: 5 * minute,
        code: 'KUBECONFIG_FAILED',
        hint: `${commandFor(cluster, 'bootstrap:configure')}, then run the same command again`,
      },
    )
  })
  const { server } = parseKubeconfig(text)
  if (server !== cluster.endpoint)
    throw new Problem(
      'KUBECONFIG_FAILED',
      `the kubeconfig is for ${server}, not ${cluster.endpoint}`,
      {
        because: 'the machines still have the config from before the endpoint was changed',
        hint: `${commandFor(cluster, 'bootstrap:configure')}, then run the same command again`,
      },
    )
  await replaceAccess(cluster, 'kubeconfig', text, { secrets, log })
}
