/** Runs that can be killed: at a change, everything that a run still wants to do never happens. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** A run of some stages. */
export interface Run {
  readonly command: string
  /** CONFIRM names the cluster. */
  readonly confirmed: boolean
  /** The run ends before this change, counted from 0. */
  readonly killAt: number
  /** The changes that it has begun. */
  readonly changes: string[]
  isDead: boolean
  /** Its process has ended: what is left of it fails. */
  isOver: boolean
  readonly died: () => void
}

const runs = new AsyncLocalStorage<Run>()
let current: Run | undefined

/** The run under way; undefined between runs. */
export function currentRun(): Run | undefined {
  return current
}

/** Runs `work` as a process of its own; resolves with 'killed' as soon as it is. */
export async function asProcess<T>(
  given: Pick<Run, 'command' | 'confirmed' | 'killAt'>,
  work: (run: Run) => Promise<T>,
): Promise<T | 'killed'> {
  return new Promise<T | 'killed'>((resolve, reject) => {
    const run: Run = {
      ...given,
      changes: [],
      isDead: false,
      isOver: false,
      died: () => end(() => resolve('killed')),
    }
    const end = (settle: () => void): void => {
      run.isDead = true
      if (current === run) current = undefined
      settle()
    }
    current = run
    runs.run(run, () => {
      work(run).then(
        (value) => end(() => resolve(value)),
        (error: unknown) => end(() => reject(error)),
      )
    })
  })
}

/** Thrown into what is left of a run that was killed, when its process has ended. */
class Gone extends Error {}

process.on('unhandledRejection', (error) => {
  if (!(error instanceof Gone)) throw error
})

/** Where killed runs have stopped; called when their process has ended. */
const ends = new Set<() => void>()

/**
 * Ends the processes of killed runs: what they were about to do fails, and so does all that they do then, so that
 * nothing of it has an effect. Until here they stand still, as nothing goes on in a process that is gone; but what they
 * keep in this process, such as queues of writes, must not hold up the next run.
 */
export async function endProcesses(): Promise<void> {
  ends.forEach((end) => end())
  ends.clear()
  await sleep(10)
}

/** Never passes a run that was killed. */
export async function alive(run = runs.getStore()): Promise<void> {
  if (run?.isDead !== true) return
  if (run.isOver) throw new Gone()
  await new Promise((_, reject) => {
    ends.add(() => {
      run.isOver = true
      reject(new Gone())
    })
  })
}

/** Called before each change: the run is killed here, or the change takes effect. */
export async function beforeChange(change: string, run = runs.getStore()): Promise<void> {
  await alive(run)
  if (run === undefined) return
  run.changes.push(change)
  if (run.changes.length - 1 < run.killAt) return
  run.isDead = true
  run.died()
  await alive(run)
}

/** Whether the caller is part of a run. */
export function isInRun(): boolean {
  return runs.getStore() !== undefined
}
