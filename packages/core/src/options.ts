/** Command line options of scripts. */
import { parseArgs } from 'node:util'
import { nearest } from './did-you-mean.ts'
import { exitCodes, Problem } from './problem.ts'

/** One option of a script. */
export interface Option {
  readonly type: 'string' | 'boolean'
  readonly about: string
  /** The environment variable to read when the command line does not have the option; Nx passes it on. */
  readonly env?: string
}

export type Options = Readonly<Record<string, Option>>

/** The values of a script's options, by name; undefined when not given. */
export type OptionValues<O extends Options> = {
  readonly [K in keyof O]: (O[K]['type'] extends 'boolean' ? boolean : string) | undefined
}

/** Options that Nx consumes itself and does not pass on to a script. */
const takenByNx = new Set([
  'env',
  'cwd',
  'target',
  'exclude',
  'prod',
  'verbose',
  'version',
  'parallel',
  'project',
  'configuration',
  'runner',
  'graph',
  'batch',
])

/**
 * Parses options strictly: an unknown one is a Problem (exit 64) with the closest known one. An empty
 * variable of `shell` counts as not set.
 */
export function readOptions<O extends Options>(
  options: O,
  args: readonly string[],
  shell: Readonly<Record<string, string | undefined>> = {},
): OptionValues<O> {
  for (const name of Object.keys(options))
    if (takenByNx.has(name)) throw new Error(`option --${name} is consumed by Nx; rename it`)
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    tokens: true,
    allowNegative: false,
  })
  for (const token of tokens) {
    if (token.kind === 'positional')
      throw wrongOption(`"${token.value}" is not an option`, Object.keys(options))
    if (token.kind !== 'option') continue
    const known = options[token.name]
    if (known === undefined) {
      const meant = nearest(token.name, Object.keys(options))
      throw wrongOption(`there is no option ${token.rawName}`, Object.keys(options), meant)
    }
    if (known.type === 'string' && (token.value === undefined || token.value === ''))
      throw wrongOption(`${token.rawName} needs a value`, Object.keys(options))
    if (known.type === 'boolean' && token.value !== undefined)
      throw wrongOption(`${token.rawName} takes no value`, Object.keys(options))
  }
  const { values } = parseArgs({ args: [...args], options, strict: true })
  return { ...fromShell(options, shell), ...values } as unknown as OptionValues<O>
}

function fromShell(
  options: Options,
  shell: Readonly<Record<string, string | undefined>>,
): Record<string, string | boolean> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, { type, env }]): [string, string | boolean][] => {
      const value = env === undefined ? undefined : shell[env]
      if (env === undefined || value === undefined || value === '') return []
      if (type === 'string') return [[name, value]]
      if (value !== 'true' && value !== 'false')
        throw wrongOption(`${env}=${value} is neither true nor false`, Object.keys(options))
      return [[name, value === 'true']]
    }),
  )
}

/** The text of --help. */
export function usageOf(summary: string, options: Options): string {
  const lines = Object.entries(options).map(
    ([name, { type, about }]) =>
      `  --${name}${type === 'string' ? ' <text>' : ''}`.padEnd(28) + about,
  )
  return [summary, '', ...lines].join('\n')
}

function wrongOption(message: string, names: readonly string[], meant?: string): Problem {
  const all = names.map((name) => `--${name}`).join(', ')
  return new Problem('OPTION_UNKNOWN', message, {
    hint:
      meant === undefined ? `options are ${all}` : `did you mean --${meant}? options are ${all}`,
    exitCode: exitCodes.wrongOption,
  })
}
