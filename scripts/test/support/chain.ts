/** Runs the stages of cluster:destroy one after the other in this process, up to a chosen moment. */
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog, type Cluster, type Log, type ScriptContext } from '@talosmith/core'
import removeAccess from '@talosmith/bootstrap/scripts/remove-access'
import removeConfig from '@talosmith/bootstrap/scripts/remove-config'
import destroyStorage from '@talosmith/storage/scripts/destroy'
import destroyMachines from '@talosmith/vm/scripts/destroy'
import removeSeeds from '@talosmith/vm/scripts/remove-seeds'
import confirmDestroy from '../../confirm-destroy.ts'
import end from '../../destroy.ts'
import { scriptContext } from './script-context.ts'

type FinalOptions = { 'final-snapshot': { type: 'boolean'; about: string } }
type Stage = { run: (context: ScriptContext<FinalOptions>) => Promise<number | void> }

/** In the order of dependsOn; graph.test.ts compares. */
export const stages = {
  'cluster:confirm-destroy': confirmDestroy,
  'storage:destroy': destroyStorage,
  'bootstrap:remove-access': removeAccess,
  'bootstrap:remove-config': removeConfig,
  'vm:destroy': destroyMachines,
  'vm:remove-seeds': removeSeeds,
  'cluster:destroy': end,
} as unknown as Readonly<Record<string, Stage>>

/** Thrown where a run is killed: nothing catches it, so that nothing more is done. */
export class Killed extends Error {}

export interface Options {
  readonly confirm?: string
  readonly dryRun?: boolean
  readonly finalSnapshot?: boolean
  /** Kills the run at its n-th moment: a step begins, or has ended. */
  readonly killAt?: number
  /** Stops after this stage. */
  readonly until?: string
  /** Runs this stage alone. */
  readonly only?: string
}

export interface Ran {
  readonly lines: readonly string[]
  readonly answers: readonly string[]
  /** How many moments there were to be killed at. */
  readonly moments: number
  readonly killed: boolean
}

/** Runs the chain; a Problem ends it, as a failed task ends Nx. */
export async function runChain(
  cluster: Cluster,
  { confirm, dryRun = false, finalSnapshot = false, killAt = Infinity, until, only }: Options = {},
): Promise<Ran> {
  const lines: string[] = []
  const answers: string[] = []
  let moments = 0
  const moment = (): void => {
    moments += 1
    if (moments >= killAt) throw new Killed()
  }
  let underWay = 0
  const ended = (): void => void (underWay -= 1)
  const note = (text: string): void => void lines.push(text)
  const log: Log = {
    ...silentLog,
    info: note,
    already: note,
    warn: note,
    step(text) {
      note(text)
      moment()
      underWay += 1
      return { ...silentLog.step(text), done: () => (ended(), moment()), fail: () => undefined }
    },
  }
  const options = { 'final-snapshot': finalSnapshot }
  const context = scriptContext(cluster, answers, { confirm, dryRun, options, log })
  let killed = false
  try {
    for (const [name, stage] of Object.entries(stages)) {
      if (only === undefined || only === name) await stage.run(context)
      if (name === until) break
    }
  } catch (error) {
    if (!(error instanceof Killed)) throw error
    killed = true
    // What runs side by side with the killed step would reach into the next run.
    while (underWay > 0) await sleep(5)
  }
  return { lines, answers, moments, killed }
}
