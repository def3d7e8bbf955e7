/** Refuses an upgrade that would fail because a machine has no guest agent channel. */
import { commandFor, Problem } from '@talosmith/core'
import { guestAgentPort, hasGuestAgentChannel } from '@talosmith/clients/talos'
import type { ObservedMachine } from './observe-upgrade.ts'
import type { UpgradeContext } from '../restart/context.ts'

/**
 * Throws GUEST_AGENT_CHANNEL_MISSING when the guest agent extension is configured and a machine has no
 * channel for it: its boot would never finish, and Talos would roll back after 70 minutes.
 */
export async function refuseMissingChannel(
  { cluster, talosctl }: UpgradeContext,
  machines: readonly ObservedMachine[],
): Promise<void> {
  if (!cluster.image.hasGuestAgent) return
  const observed = await Promise.all(
    machines
      .filter(({ facts }) => !facts.extensions.includes('qemu-guest-agent'))
      .map(async ({ node }) => ({
        name: node.name,
        has: await hasGuestAgentChannel(node, talosctl),
      })),
  )
  const named = (answer: boolean | undefined): string[] =>
    observed.flatMap(({ name, has }) => (has === answer ? [name] : []))
  const silent = named(undefined)
  if (silent.length > 0)
    throw new Problem(
      'NODE_SILENT',
      `could not find out whether ${silent.join(', ')} has a guest agent channel`,
      { now: 'nothing was changed', hint: 'run the same command again when Talos on it answers' },
    )
  const names = named(false)
  if (names.length === 0) return
  throw new Problem(
    'GUEST_AGENT_CHANNEL_MISSING',
    `${names.join(', ')} has no guest agent channel`,
    {
      because: `with siderolabs/qemu-guest-agent and without ${guestAgentPort} a machine never finishes its boot`,
      now: 'nothing was changed',
      hint: `${commandFor(cluster, 'vm:create')} adds it to the domain; power the machine off and on once (cluster:stop, cluster:start), then run the same command again`,
    },
  )
}
