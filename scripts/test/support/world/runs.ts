/** Runs that can be killed: at a change, everything that a run still wants to do never happens. */
import { AsyncLocalStorage } from 'node:async_hooks'

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
        (error: unknown) => end(() => reject(error as Error)),
      )
    })
  })
}

/** Never resolves where the run that asks has ended, as nothing goes on in a process that is gone. */
export async function alive(run = runs.getStore()): Promise<void> {
  if (run?.isDead === true) await new Promise(() => undefined)
}

/** Called before each change: the run is killed here, or the change takes effect. */
export async function beforeChange(change: string, run = runs.getStore()): Promise<void> {
  await alive(run)
  if (run === undefined) return
  run.changes.push(change)
  if (run.changes.length - 1 < run.killAt) return
  run.isDead = true
  run.died()
  await new Promise(() => undefined)
}

/** Whether the caller is part of a run. */
export function isInRun(): boolean {
  return runs.getStore() !== undefined
}
