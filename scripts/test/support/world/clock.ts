/** Time in the simulated world: it passes by pauses, not by waiting. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pauses } from '@talosmith/core/testing'
import { alive } from './runs.ts'

/** Makes every pause of a wait as short as possible, and counts it in full on the clock. */
export function skipPauses(): void {
  const now = Date.now
  let passed = 0
  Date.now = () => now() + passed
  pauses.sleep = async (ms) => {
    await alive()
    passed += ms
    await sleep(1)
    await alive()
  }
}
