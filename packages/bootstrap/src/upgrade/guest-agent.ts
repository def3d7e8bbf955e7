/** Refuses an upgrade that a missing guest agent channel would break. */
import { commandFor, Problem } from '@talosmith/core'
import { guestAgentPort, hasGuestAgentChannel } from '@talosmith/clients/talos'
import type { ObservedMachine } from './observe-upgrade.ts'
import type { UpgradeContext } from '../restart/context.ts'

/**
 * Throws GUEST_AGENT_CHANNEL_MISSING when the guest agent is asked for and a machine has no channel for
 * it: its boot would never end, and Talos would go back after 70 minutes.
 */
export async function refuseMissingChannel(
  { cluster, talosctl }: UpgradeContext,
  machines: readonly ObservedMachine[],
): Promise<void> {
  if (!cluster.image.hasGuestAgent) return
  const seen = await Promise.all(
    machines
      .filter(({ facts }) => !facts.extensions.includes('qemu-guest-agent'))
      .map(async ({ node }) => ({
        name: node.name,
        has: await hasGuestAgentChannel(node, talosctl),
      })),
  )
  const named = (answer: boolean | undefined): string[] =>
    seen.flatMap(({ name, has }) => (has === answer ? [name] : []))
  const silent = named(undefined)
  if (silent.length > 0)
    throw new Problem(
      'NODE_SILENT',
      `${silent.join(', ')} does not say whether it has the guest agent's channel`,
      { now: 'nothing was changed', hint: 'run the same command again when it answers' },
    )
  const names = named(false)
  if (names.length === 0) return
  throw new Problem(
    'GUEST_AGENT_CHANNEL_MISSING',
    `${names.join(', ')} has no channel for the guest agent yet`,
    {
      because: `with siderolabs/qemu-guest-agent and without ${guestAgentPort} a machine never finishes its boot`,
      now: 'nothing was changed',
      hint: `${commandFor(cluster, 'vm:create')} adds it to the machine; switch the machine off and on once (cluster:stop, cluster:start), then run the same command again`,
    },
  )
}
