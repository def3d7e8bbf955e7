/** Injected faults of the lab's factory, for tests. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** One way to misbehave, for requests whose path matches. */
export interface Fault {
  readonly path: string
  readonly kind: 'status' | 'stall' | 'cut' | 'corrupt' | 'slow'
  /** How many requests it affects. */
  times: number
  /** status: the code to answer with. */
  readonly status?: number
  /** cut, stall and corrupt: after how many bytes. */
  readonly afterBytes?: number
  /** slow: the pause after each MiB. */
  readonly pauseMs?: number
}

/** Stores the injected faults: a JSON list, [] for none. */
export function orderFaults(file: string, text: string): void {
  const faults = JSON.parse(text) as Fault[]
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(faults))
}

/** The injected fault that a request gets, counted down in the file; undefined for none. */
export function nextFault(
  file: string,
  path: string,
  isPossible: (fault: Fault) => boolean = () => true,
): Fault | undefined {
  const faults = readFaults(file)
  const fault = faults.find(
    (one) => one.times > 0 && isPossible(one) && new RegExp(one.path).test(path),
  )
  if (fault === undefined) return undefined
  fault.times--
  writeFileSync(file, JSON.stringify(faults))
  return fault
}

function readFaults(file: string): Fault[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Fault[]
  } catch {
    return []
  }
}

/** Sends a body with an injected fault: stops or hangs in the middle, is slow, or changes a byte. */
export async function sendFaulty(
  response: ServerResponse,
  body: AsyncIterable<Buffer>,
  fault: Fault,
): Promise<void> {
  const limit = fault.afterBytes ?? 0
  let sent = 0
  for await (const chunk of body) {
    const left = limit - sent
    if (fault.kind === 'slow') {
      await sleep(fault.pauseMs ?? 100)
      response.write(chunk)
    } else if (fault.kind === 'corrupt') {
      if (left >= 0 && left < chunk.length) chunk[left] = (chunk[left] ?? 0) ^ 0xff
      response.write(chunk)
    } else if (left <= chunk.length) {
      response.write(chunk.subarray(0, Math.max(0, left)))
      if (fault.kind === 'stall') await sleep(3_600_000, undefined, { ref: false })
      return void response.destroy()
    } else response.write(chunk)
    sent += chunk.length
  }
  response.end()
}
