import { waitFor, type Node } from '@talosmith/core'
import { mark } from './kubernetes-objects.ts'
import type { UpgradeContext } from './upgrade-context.ts'

const apiMs = 300_000

/** Keeps new pods off a machine and writes on it that we did, in one change: a killed run leaves both or none. */
export async function cordon(context: UpgradeContext, node: Node, version: string): Promise<void> {
  await change(context, node, `${node.name} to be cordoned`, {
    metadata: { annotations: { [mark]: version } },
    spec: { unschedulable: true },
  })
}

/** Takes both away again. */
export async function uncordon(context: UpgradeContext, node: Node): Promise<void> {
  await change(context, node, `${node.name} to be uncordoned`, {
    metadata: { annotations: { [mark]: null } },
    spec: { unschedulable: null },
  })
}

async function change(
  { kubernetes, log }: UpgradeContext,
  { name }: Node,
  fact: string,
  body: object,
): Promise<void> {
  await waitFor(
    fact,
    () => kubernetes.send({ method: 'PATCH', path: `/api/v1/nodes/${name}`, body }),
    {
      log,
      withinMs: apiMs,
      code: 'API_SILENT',
      hint: 'run the same command again when the API answers',
    },
  )
}
