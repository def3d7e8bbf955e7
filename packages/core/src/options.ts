import { parseArgs } from 'node:util'
import { nearest } from './did-you-mean.ts'
import { exitCodes, Problem } from './problem.ts'

/** One option of a script, as data. */
export interface Option {
  readonly type: 'string' | 'boolean'
  readonly about: string
  /** The variable of the shell that gives its value when the command line does not; it passes through Nx. */
  readonly env?: string
}

export type Options = Readonly<Record<string, Option>>

/** What a script gets for its options: texts and flags by name, undefined when not given. */
export type OptionValues<O extends Options> = {
  readonly [K in keyof O]: (O[K]['type'] extends 'boolean' ? boolean : string) | undefined
}

/** Options that Nx keeps for itself, so that a script would never see them. */
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
 * Reads options strictly: an unknown one is a Problem (exit 64) that names the close one. A variable
 * of `shell` that is empty counts as not set.
 */
export function readOptions<O extends Options>(
  options: O,
  args: readonly string[],
  shell: Readonly<Record<string, string | undefined>> = {},
): OptionValues<O> {
  for (const name of Object.keys(options))
    if (takenByNx.has(name))
      throw new Error(`option --${name} would be swallowed by Nx; give it another name`)
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
      const said = env === undefined ? undefined : shell[env]
      if (env === undefined || said === undefined || said === '') return []
      if (type === 'string') return [[name, said]]
      if (said !== 'true' && said !== 'false')
        throw wrongOption(`${env}=${said} is neither true nor false`, Object.keys(options))
      return [[name, said === 'true']]
    }),
  )
}

function wrongOption(message: string, names: readonly string[], meant?: string): Problem {
  const all = names.map((name) => `--${name}`).join(', ')
  return new Problem('OPTION_UNKNOWN', message, {
    hint:
      meant === undefined ? `options are ${all}` : `did you mean --${meant}? options are ${all}`,
    exitCode: exitCodes.wrongOption,
  })
}
