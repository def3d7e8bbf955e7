/** Cordons and uncordons machines, with our annotation. */
import { waitFor, type Node } from '@talosmith/core'
import type { NodeObject } from '@talosmith/clients/kubernetes'
import { renderUpgradeAnnotation, upgradeAnnotation } from './upgrade-annotation.ts'
import type { Target } from '@talosmith/clients/talos'
import { gateClosed } from './pass-gate.ts'
import type { UpgradeContext } from './context.ts'

type Tools = Pick<UpgradeContext, 'kubernetes' | 'log'>

const apiMs = 300_000

/**
 * Keeps new pods off a machine and writes on it that we did, in one change: a killed run leaves both or
 * none. Throws GATE_CLOSED when somebody else has cordoned it meanwhile; `now` says what state it is in.
 */
export async function cordon(
  tools: Tools,
  { name }: Node,
  target: Target,
  now: string,
): Promise<void> {
  await change(tools, name, `${name} to be cordoned`, (seen) => {
    if (seen.spec?.unschedulable === true && !isAnnotated(seen))
      throw gateClosed(name, `${name}: was cordoned by somebody else`, now)
    return {
      metadata: { annotations: { [upgradeAnnotation]: renderUpgradeAnnotation(target) } },
      spec: { unschedulable: true },
    }
  })
}

/** Adds to the mark from which boot a machine is restarted: one that comes back with its old version went back. */
export async function annotateRestart(
  tools: Tools,
  { name }: Node,
  target: Target,
  boot: string,
): Promise<void> {
  await change(tools, name, `the restart of ${name} to be noted`, () => ({
    metadata: { annotations: { [upgradeAnnotation]: renderUpgradeAnnotation(target, boot) } },
  }))
}

/** Takes both away again; a machine that bears no mark is left as it is. Whether it bore one. */
export async function uncordon(tools: Tools, { name }: Pick<Node, 'name'>): Promise<boolean> {
  return change(tools, name, `${name} to be uncordoned`, (seen) =>
    isAnnotated(seen)
      ? { metadata: { annotations: { [upgradeAnnotation]: null } }, spec: { unschedulable: null } }
      : undefined,
  )
}

function isAnnotated({ metadata }: NodeObject): boolean {
  return metadata.annotations?.[upgradeAnnotation] !== undefined
}

/** Changes a node as it was seen: what somebody else has changed meanwhile is looked at first. */
async function change(
  { kubernetes, log }: Tools,
  name: string,
  fact: string,
  bodyFor: (seen: NodeObject) => { readonly metadata: object; readonly spec?: object } | undefined,
): Promise<boolean> {
  const path = `/api/v1/nodes/${name}`
  return waitFor(
    fact,
    async () => {
      const seen = await kubernetes.get<NodeObject>(path)
      if (seen === undefined) throw new Error(`Kubernetes has no node ${name}`)
      const body = bodyFor(seen)
      if (body === undefined) return false
      const { resourceVersion } = seen.metadata
      const metadata = { ...body.metadata, resourceVersion }
      await kubernetes.patch(path, { ...body, metadata })
      return true
    },
    {
      log,
      withinMs: apiMs,
      code: 'KUBERNETES_UNREACHABLE',
      hint: 'run the same command again when the API answers',
    },
  )
}
