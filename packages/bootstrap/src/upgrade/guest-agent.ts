import { Problem } from '@talosmith/core'
import type { ObservedMachine } from './observe-upgrade.ts'
import type { UpgradeContext } from './upgrade-context.ts'

const port = 'org.qemu.guest_agent.0'

/**
 * Throws GUEST_AGENT_CHANNEL_MISSING when the guest agent is asked for and a machine has no channel for
 * it: its boot would never end, and Talos would go back after 70 minutes.
 */
export async function refuseMissingChannel(
  { cluster, talosctl }: UpgradeContext,
  machines: readonly ObservedMachine[],
): Promise<void> {
  if (!cluster.image.hasGuestAgent) return
  const without = await Promise.all(
    machines
      .filter(({ facts }) => !facts.extensions.includes('qemu-guest-agent'))
      .map(async ({ node }) => {
        const { stdout } = await talosctl.ask([node.address], ['list', '/dev/virtio-ports'], {
          nothrow: true,
        })
        return stdout.includes(port) ? [] : [node.name]
      }),
  )
  const names = without.flat()
  if (names.length === 0) return
  throw new Problem(
    'GUEST_AGENT_CHANNEL_MISSING',
    `${names.join(', ')} has no channel for the guest agent yet`,
    {
      because: `with siderolabs/qemu-guest-agent and without ${port} a machine never finishes its boot`,
      now: 'nothing was changed',
      hint: 'npx nx run vm:create adds it to the machine; switch the machine off and on once (vm:stop, vm:start), then run the same command again',
    },
  )
}
