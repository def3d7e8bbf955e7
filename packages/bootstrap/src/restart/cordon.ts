/** Cordons and uncordons nodes; an annotation tells which ones an upgrade has cordoned. */
import { waitFor, type Node } from '@talosmith/core'
import { listPath, nodeOf, objectPath, type NodeObject } from '@talosmith/clients/kubernetes'
import {
  failedAnnotation,
  renderFailedVersion,
  renderUpgradeAnnotation,
  upgradeAnnotation,
  type FailedVersion,
} from './upgrade-annotation.ts'
import type { Target } from '@talosmith/clients/talos'
import { gateClosed } from './pass-gate.ts'
import type { UpgradeContext } from './context.ts'

/** A machine, or a node by its name alone. */
type Machine = Pick<Node, 'name'> & Partial<Pick<Node, 'address'>>

type Tools = Pick<UpgradeContext, 'kubernetes' | 'log'>

const apiMs = 300_000

/**
 * Cordons a node and annotates it, in one request: a killed run leaves both or neither. Throws GATE_CLOSED
 * when another user or tool has cordoned it in the meantime; `now` is the state reported then.
 */
export async function cordon(
  tools: Tools,
  machine: Machine,
  target: Target,
  now: string,
): Promise<void> {
  const { name } = machine
  await change(tools, machine, `${name} to be cordoned`, (node) => {
    if (node.spec?.unschedulable === true && !isAnnotated(node))
      throw gateClosed(name, `${name}: was cordoned by another user or tool`, now)
    return {
      metadata: { annotations: { [upgradeAnnotation]: renderUpgradeAnnotation(target) } },
      spec: { unschedulable: true },
    }
  })
}

/** Adds the boot ID before the restart to the annotation: a later boot with the old version means a rollback. */
export async function annotateRestart(
  tools: Tools,
  machine: Machine,
  target: Target,
  boot: string,
): Promise<void> {
  await change(tools, machine, `the upgrade annotation of ${machine.name} to be updated`, () => ({
    metadata: { annotations: { [upgradeAnnotation]: renderUpgradeAnnotation(target, boot) } },
  }))
}

/**
 * Uncordons an annotated node and removes the annotation; returns false for a node without it. In the same request it
 * records the version that `failed` on it, or forgets an earlier one (null).
 */
export async function uncordon(
  tools: Tools,
  machine: Machine,
  failed?: FailedVersion | null,
): Promise<boolean> {
  const record =
    failed === undefined ? {} : { [failedAnnotation]: failed && renderFailedVersion(failed) }
  return change(tools, machine, `${machine.name} to be uncordoned`, (node) =>
    isAnnotated(node)
      ? {
          metadata: { annotations: { [upgradeAnnotation]: null, ...record } },
          spec: { unschedulable: null },
        }
      : undefined,
  )
}

function isAnnotated({ metadata }: NodeObject): boolean {
  return metadata.annotations?.[upgradeAnnotation] !== undefined
}

/** Patches a node with its resourceVersion: after a concurrent change it is read again. */
async function change(
  { kubernetes, log }: Tools,
  machine: Machine,
  fact: string,
  bodyFor: (node: NodeObject) => { readonly metadata: object; readonly spec?: object } | undefined,
): Promise<boolean> {
  return waitFor(
    fact,
    async () => {
      const node = nodeOf(machine, await kubernetes.list<NodeObject>(listPath('Node')))
      if (node === undefined) throw new Error(`Kubernetes has no node ${machine.name}`)
      const body = bodyFor(node)
      if (body === undefined) return false
      const { resourceVersion } = node.metadata
      const metadata = { ...body.metadata, resourceVersion }
      await kubernetes.patch(objectPath('Node', node.metadata.name), { ...body, metadata })
      return true
    },
    {
      log,
      withinMs: apiMs,
      code: 'KUBERNETES_UNREACHABLE',
      hint: 'run the same command again when the Kubernetes API answers',
    },
  )
}
