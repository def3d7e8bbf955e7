/** Whether machines can keep their configs: each is written to the volume STATE, which Talos has to make first. */
import { minute, waitFor, type Node } from '@talosmith/core'
import { askTalos, stateProblem, volumesQuestion, type Talosctl } from '@talosmith/clients/talos'
import type { ApplyContext } from './apply-context.ts'

/** Talos makes the volume within seconds, and retries what failed every 30 s. */
const stateMs = 5 * minute

/**
 * Waits until a configured machine has its volume STATE. Before that its certificate already answers, from memory, and
 * after a restart it would be in maintenance mode again. Throws STATE_NOT_READY.
 */
export async function waitForState(
  { talosctl, log }: Pick<ApplyContext, 'talosctl' | 'log'>,
  node: Node,
): Promise<void> {
  await waitFor(
    `${node.name} to save its machine config`,
    async () => {
      const problem = await observeStateProblem(node, talosctl)
      if (problem !== undefined) throw new Error(problem)
    },
    {
      log,
      withinMs: stateMs,
      code: 'STATE_NOT_READY',
      hint: `the config is in the machine's memory only, and a restart loses it: correct the size of its disk or the patch that the reason names, then restart the machine (virsh reset ${node.name}) and run the same command again`,
    },
  )
}

async function observeStateProblem(node: Node, talosctl: Talosctl): Promise<string | undefined> {
  const answers = await askTalos([node], { volumes: volumesQuestion }, talosctl)
  const volumes = answers.get(node.name)?.volumes
  if (volumes === undefined) return 'it was not queried'
  return volumes.ok ? stateProblem(volumes.value) : volumes.reason
}

/** The machines that report that they have no volume STATE, among configured ones. */
export async function nodesWithoutState(
  nodes: readonly Node[],
  talosctl: Talosctl,
): Promise<Node[]> {
  const controlPlanes = nodes.filter(({ role }) => role === 'controlplane')
  // They are the endpoints for all.
  if (controlPlanes.length === 0) return []
  const endpoints = { endpoints: controlPlanes }
  const answers = await askTalos(nodes, { volumes: volumesQuestion }, talosctl, endpoints)
  return nodes.filter((node) => {
    const volumes = answers.get(node.name)?.volumes
    return volumes?.ok === true && stateProblem(volumes.value) !== undefined
  })
}
