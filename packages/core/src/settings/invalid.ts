/** The Problem of invalid settings: each with its place, and what to correct there. */
import { exitCodes, Problem } from '../problem.ts'
import type { SettingError } from './errors.ts'

/** Where settings come from. */
export interface Origins {
  /** The line of each key in the env file. */
  readonly lines: ReadonlyMap<string, number>
  /** Names that the environment overrides. */
  readonly shell: ReadonlySet<string>
}

/** One Problem (SETTINGS_INVALID, exit 78) that lists all errors. */
export function settingsInvalid(
  fileName: string,
  errors: readonly SettingError[],
  origins: Origins,
): Problem {
  const count = `${errors.length} setting${errors.length === 1 ? '' : 's'}`
  const lines = errors.map((error) => `${error.name}: ${error.text}${placeOf(error, origins)}`)
  return new Problem(
    'SETTINGS_INVALID',
    `${count} in ${fileName} ${errors.length === 1 ? 'is' : 'are'} invalid`,
    {
      because: `\n${lines.join('\n')}`,
      now: 'nothing was changed',
      hint: `${whatToDo(fileName, errors, origins)}; docs/configuration.md describes all settings`,
      exitCode: exitCodes.wrongSetting,
    },
  )
}

function placeOf({ name, line }: SettingError, { lines, shell }: Origins): string {
  if (line !== undefined) return name === `line ${line}` ? '' : ` (line ${line})`
  if (shell.has(name)) return ' (from the environment)'
  const own = lines.get(name)
  return own === undefined ? '' : ` (line ${own})`
}

function whatToDo(fileName: string, errors: readonly SettingError[], origins: Origins): string {
  const names = [...new Set(errors.flatMap(({ name, others = [] }) => [name, ...others]))]
  const ofLines = errors.flatMap(({ line }) => line ?? [])
  const isInFile = (name: string): boolean => origins.lines.has(name) && !origins.shell.has(name)
  const all = [
    ...ofLines,
    ...names.filter(isInFile).flatMap((name) => origins.lines.get(name) ?? []),
  ]
  const numbers = [...new Set(all)].sort((a, b) => a - b)
  const inShell = names.filter((name) => origins.shell.has(name))
  const absent = names.filter(
    (name) => /^[A-Z]/.test(name) && !origins.lines.has(name) && !origins.shell.has(name),
  )
  const parts = [
    ...(numbers.length === 0
      ? []
      : [`correct line${numbers.length === 1 ? '' : 's'} ${numbers.join(', ')} of ${fileName}`]),
    ...(inShell.length === 0
      ? []
      : [`unset ${inShell.join(' ')} in your shell, or set a valid value there`]),
    ...(absent.length === 0 ? [] : [`set ${absent.join(' or ')} in ${fileName}`]),
  ]
  return parts.join(errors.length > 1 ? '; ' : ', or ')
}
