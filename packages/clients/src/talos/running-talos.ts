/** What a machine runs and what it should run. */
import type { Answer, Node } from '@talosmith/core'
import { machineProblem, type MachineStatus } from './machine-status.ts'
import { askTalos, type AnswersTo } from './observe-talos.ts'
import {
  extensionsQuestion,
  machineStatusQuestion,
  platformQuestion,
  versionQuestion,
  type Extensions,
} from './questions.ts'
import type { Talosctl } from './talosctl.ts'
import { longTimeouts } from './time-limits.ts'

/** What a machine runs. */
export interface RunningTalos extends Extensions {
  readonly talosVersion: string
}

/** A machine, as far as an upgrade changes it. */
export interface NodeFacts extends RunningTalos {
  readonly platform: string | undefined
  readonly machine: MachineStatus | undefined
}

/** What a machine is to run. */
export interface Target {
  readonly version: string
  /** Undefined: an image that does not come from a factory. */
  readonly schematic: string | undefined
}

/** The schematic of a target whose installer is the user's own: what is in it is not compared. */
export const anySchematic = 'any'

/** Whether a machine runs what it should. */
export function isRight(facts: Pick<RunningTalos, 'talosVersion' | 'schematic'>, target: Target) {
  const isSame = target.schematic === anySchematic || facts.schematic === target.schematic
  return facts.talosVersion === target.version && isSame
}

const questions = {
  version: versionQuestion,
  extensions: extensionsQuestion,
}
const allQuestions = {
  ...questions,
  platform: platformQuestion,
  machine: machineStatusQuestion,
}

/** Asks machines about themselves, in four processes for all of them; by machine name. */
export async function readNodes(
  nodes: readonly Node[],
  endpoints: readonly Node[],
  talosctl: Talosctl,
): Promise<ReadonlyMap<string, Answer<NodeFacts>>> {
  const answers = await askTalos(nodes, allQuestions, talosctl, { endpoints })
  return new Map(
    [...answers].map(([name, { platform, machine, ...own }]): [string, Answer<NodeFacts>] => {
      const running = runningOf(own)
      if (!running.ok) return [name, running]
      const value = {
        ...running.value,
        platform: platform.ok ? platform.value : undefined,
        machine: machine.ok ? machine.value : undefined,
      }
      return [name, { ok: true, value }]
    }),
  )
}

function runningOf({ version, extensions }: AnswersTo<typeof questions>): Answer<RunningTalos> {
  if (!version.ok) return version
  if (!extensions.ok) return extensions
  return { ok: true, value: { talosVersion: version.value, ...extensions.value } }
}

/** Asks one machine about itself, through itself. Throws with the reason when it does not answer. */
export async function readNode(node: Node, talosctl: Talosctl): Promise<NodeFacts> {
  return valueOf((await readNodes([node], [node], talosctl)).get(node.name))
}

/** Asks one machine what it runs, through itself. Throws with the reason when it does not answer. */
export async function readRunning(node: Node, talosctl: Talosctl): Promise<RunningTalos> {
  const own = (await askTalos([node], questions, talosctl)).get(node.name)
  return valueOf(own && runningOf(own))
}

/** Asks one machine for its status, through itself. Throws with the reason when it does not answer. */
export async function readMachineStatus(node: Node, talosctl: Talosctl): Promise<MachineStatus> {
  const statusQuestions = { machine: machineStatusQuestion }
  return valueOf((await askTalos([node], statusQuestions, talosctl)).get(node.name)?.machine)
}

/** Whether a machine runs and is ready; one that does not answer is not. */
export async function isMachineReady(node: Node, talosctl: Talosctl): Promise<boolean> {
  const answers = await askTalos([node], { machine: machineStatusQuestion }, talosctl)
  const machine = answers.get(node.name)?.machine
  return machine?.ok === true && machineProblem(machine.value) === undefined
}

function valueOf<T>(answer: Answer<T> | undefined): T {
  if (answer?.ok === true) return answer.value
  throw new Error(answer?.reason ?? 'it was not queried')
}

/** Which boot of a machine this is: another one after every restart. Throws while it does not answer. */
export async function readBootId(
  { address }: Node,
  talosctl: Talosctl,
  timeoutMs = longTimeouts.askMs,
): Promise<string> {
  const file = '/proc/sys/kernel/random/boot_id'
  const { stdout } = await talosctl.ask([address], ['read', file], { timeoutMs })
  const id = stdout.trim()
  if (id === '') throw new Error('it does not report its boot ID')
  return id
}
