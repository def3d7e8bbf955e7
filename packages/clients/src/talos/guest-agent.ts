/** Whether a machine has what its QEMU guest agent talks through. */
import type { Node } from '@talosmith/core'
import type { Talosctl } from './talosctl.ts'

/** The name of the guest agent's channel. */
export const guestAgentPort = 'org.qemu.guest_agent.0'

/** The guest agent as Talos runs it: the service of the extension qemu-guest-agent. */
export const guestAgentService = 'ext-qemu-guest-agent'

/** Whether a machine has the guest agent's channel; undefined: it does not answer. */
export async function hasGuestAgentChannel(
  { address }: Pick<Node, 'address'>,
  talosctl: Talosctl,
): Promise<boolean | undefined> {
  const args = ['list', '/dev/virtio-ports']
  const { stdout, stderr, exitCode } = await talosctl.ask([address], args, { nothrow: true })
  if (stdout.includes(guestAgentPort)) return true
  // Without any channel there is no such folder.
  return exitCode === 0 || /no such file or directory/.test(stderr) ? false : undefined
}
