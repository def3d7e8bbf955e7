/** Image pulls that fail: Talos tells them in its own log only. */
import type { Node } from '@talosmith/core'
import { logsMs } from './time-limits.ts'
import type { Talosctl } from './talosctl.ts'

const logLines = 200

/**
 * The lines of machined's log about image pulls that failed, oldest first. Talos retries a pull for 20 minutes
 * (PullTimeout, internal/pkg/containers/image/image.go), during which the service stays `Preparing: Running pre
 * state`. Empty where the log cannot be read.
 */
export async function readFailedPulls(
  { address }: Pick<Node, 'address'>,
  talosctl: Talosctl,
  options: { readonly endpoints?: readonly string[] } = {},
): Promise<string[]> {
  const args = ['logs', 'machined', '--tail', String(logLines)]
  const { stdout } = await talosctl.ask([address], args, {
    timeoutMs: logsMs,
    ...options,
    nothrow: true,
  })
  return stdout
    .split('\n')
    .filter((line) => /failed to pull/.test(line))
    .map((line) => line.replace(`${address}: `, ''))
}
