/** Shortens the pauses of waits and retries in tests. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pauses } from '../wait.ts'

/**
 * Divides the pauses of all waits by 100, for tests with simulated machines. Pauses still count in full, so a
 * wait of five minutes times out after three seconds.
 */
export function quicken(): void {
  pauses.sleep = (ms, signal) => sleep(ms / 100, undefined, signal === undefined ? {} : { signal })
}
