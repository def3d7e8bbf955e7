/** Reads an env file into settings, or reports everything that is wrong with it. */
import { parse } from 'dotenv'
import { nearest } from '../did-you-mean.ts'
import { exitCodes, Problem } from '../problem.ts'
import { completeSettings, type GivenSettings } from './complete.ts'
import { crossCheck } from './cross-check.ts'
import { allSettings, type SettingName, type Settings } from './schema.ts'

/** An error in one setting. */
interface SettingError {
  readonly name: string
  readonly text: string
}

/** Valid settings, and warnings about them. */
export interface ReadSettings {
  readonly settings: Settings
  readonly warnings: readonly string[]
}

/**
 * Reads one env file. An environment variable in `shell` overrides the file; empty means not set. Throws
 * one Problem (SETTINGS_INVALID, exit 78) that lists all errors.
 */
export function readSettings(
  fileText: string,
  shell: Readonly<Record<string, string | undefined>> = {},
  fileName = 'the env file',
): ReadSettings {
  const errors = [...repeatedKeys(fileText)]
  const texts: Record<string, string> = parse(fileText)
  for (const name of Object.keys(texts)) if (!(name in allSettings)) errors.push(unknownKey(name))
  for (const name of Object.keys(allSettings)) {
    const value = shell[name]
    if (value !== undefined) texts[name] = value
  }
  const given = parseEach(texts, errors)
  const settings = completeSettings(given)
  const { errors: crossErrors, warnings } = crossCheck(
    settings,
    new Set(errors.map(({ name }) => name)),
  )
  const lines = [...errors.map(({ name, text }) => `${name}: ${text}`), ...crossErrors]
  if (lines.length > 0) {
    const count = `${lines.length} setting${lines.length === 1 ? '' : 's'}`
    throw new Problem(
      'SETTINGS_INVALID',
      `${count} in ${fileName} ${lines.length === 1 ? 'is' : 'are'} invalid`,
      {
        because: `\n${lines.join('\n')}`,
        now: 'nothing was changed',
        hint: `correct ${fileName}; all settings are described in docs/configuration.md`,
        exitCode: exitCodes.wrongSetting,
      },
    )
  }
  // Without errors every setting that is not optional has a value.
  return { settings: settings as Settings, warnings }
}

function parseEach(texts: Readonly<Record<string, string>>, errors: SettingError[]): GivenSettings {
  const given: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(allSettings)) {
    const written = texts[name]?.trim()
    const text = written === undefined || written === '' ? setting.default : written
    if (text === undefined) {
      if (setting.required) errors.push({ name, text: `missing; ${setting.about}` })
      continue
    }
    const result = setting.type.safeParse(text)
    if (result.success) given[name] = result.data
    else
      errors.push({
        name,
        text: `"${text}" is not ${result.error.issues.map((issue) => issue.message).join('; ')}`,
      })
  }
  return given
}

function unknownKey(name: string): SettingError {
  const meant = nearest(name, Object.keys(allSettings) as SettingName[])
  return {
    name,
    text: `not a setting${meant === undefined ? '' : `; did you mean ${meant}?`}`,
  }
}

function repeatedKeys(fileText: string): SettingError[] {
  const names = new Set<string>()
  const repeated = new Set<string>()
  for (const [, name = ''] of fileText.matchAll(
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=/gm,
  )) {
    if (names.has(name)) repeated.add(name)
    names.add(name)
  }
  return [...repeated].map((name) => ({ name, text: 'written more than once' }))
}
