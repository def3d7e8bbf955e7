/** The chains, run stage by stage on the simulated world, as Nx runs them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Problem, projectRoot, silentLog, type Cluster, type Log } from '@talosmith/core'
import { chains } from '../../../chain.js'
import { scriptContext } from '../script-context.ts'
import { asProcess } from './runs.ts'
import type { World } from './world.ts'

/** A target and the program that it runs, with its flags. */
interface Stage {
  readonly target: string
  readonly file: string
  readonly options: Readonly<Record<string, boolean>>
}

interface Script {
  run(context: unknown): Promise<number | void>
}

/** How a chain ended. */
export type Ending =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly code: string; readonly text: string }
  | { readonly kind: 'killed' }

export interface Ran {
  readonly ending: Ending
  /** The changes that it began; a killed run ended before the last of them. */
  readonly changes: readonly string[]
  readonly lines: readonly string[]
}

/** The stages of the chain that ends with cluster:<command>, first to last; a target is a stage of its own. */
function stagesOf(command: string): readonly Stage[] {
  if (command.includes(':')) return [stageOf(command)]
  const chain = chains.find((lines) => Object.keys(lines.at(-1) ?? {})[0] === `cluster:${command}`)
  if (chain === undefined) throw new Error(`there is no chain cluster:${command}`)
  return chain.flatMap((line) => Object.keys(line).map(stageOf))
}

/** The targets of the chain that ends with cluster:<command>, first to last. */
export function targetsOf(command: string): readonly string[] {
  return stagesOf(command).map(({ target }) => target)
}

/** The file of a target, as tools/nx/infer-targets.js finds it, or as in project.json. */
function stageOf(target: string): Stage {
  const [project = '', verb = ''] = target.split(':')
  const folder = project === 'cluster' ? 'scripts' : join('packages', project)
  const { targets = {} } = JSON.parse(
    readFileSync(join(projectRoot, folder, 'project.json'), 'utf8'),
  ) as { targets?: Record<string, { command?: string }> }
  const [, , file, ...flags] = targets[verb]?.command?.split(' ') ?? []
  const options = Object.fromEntries(flags.map((flag) => [flag.replace(/^--/, ''), true]))
  const inferred = project === 'cluster' ? `scripts/${verb}.ts` : `${folder}/scripts/${verb}.ts`
  return { target, file: file ?? inferred, options }
}

export interface ChainOptions {
  readonly confirmed?: boolean
  /** Ends the run before its n-th change, counted from 0. */
  readonly killAt?: number
  /** Options of the chain's stages. */
  readonly options?: Readonly<Record<string, boolean>>
}

/** Runs a chain to its end, its refusal or its kill. */
export async function runChain(
  world: World,
  cluster: Cluster,
  command: string,
  { confirmed = false, killAt = Infinity, options = {} }: ChainOptions = {},
): Promise<Ran> {
  world.desired = cluster
  const lines: string[] = []
  const log = collecting(lines)
  let changes: readonly string[] = []
  const ending = await asProcess<Ending>({ command, confirmed, killAt }, async (run) => {
    changes = run.changes
    for (const stage of stagesOf(command)) {
      const answers: string[] = []
      const script = await load(stage)
      const host = world.host
      const context = {
        ...scriptContext(cluster, answers, {
          confirm: confirmed ? cluster.name : undefined,
          dryRun: false,
          options: { ...options, ...stage.options },
          log,
        }),
        hosts: async () => [host],
        eachHost: () => [Promise.resolve(host)],
      }
      lines.push(`== ${stage.target}`)
      try {
        const code = (await script.run(context)) ?? 0
        const text = answers.join('\n')
        // The preflight prints its findings, each with its code.
        if (code !== 0)
          return { kind: 'refused', code: /\b[A-Z]+(?:_[A-Z]+)+\b/.exec(text)?.[0] ?? '', text }
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        const text = [error.message, error.because].join('\n')
        return { kind: 'refused', code: error.code, text }
      }
    }
    return { kind: 'done' }
  })
  return { ending: ending === 'killed' ? { kind: 'killed' } : ending, changes, lines }
}

async function load({ file }: Stage): Promise<Script> {
  const { default: script } = (await import(pathToFileURL(join(projectRoot, file)).href)) as {
    default: Script
  }
  return script
}

function collecting(lines: string[]): Log {
  const note = (text: string): void => void lines.push(text)
  return {
    ...silentLog,
    info: note,
    already: note,
    warn: note,
    step: (text) => (note(text), silentLog.step(text)),
  }
}
