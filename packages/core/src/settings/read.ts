/** Reads an env file into settings, or reports everything that is wrong with it. */
import { nearest } from '../did-you-mean.ts'
import { completeSettings, type GivenSettings } from './complete.ts'
import { crossCheck, type CheckOptions } from './cross-check.ts'
import { readEnvFile } from './env-file.ts'
import { quoted, type SettingError } from './errors.ts'
import { isHostKey, keysOfHosts, readHosts } from './hosts.ts'
import { settingsInvalid, type Origins } from './invalid.ts'
import { allSettings, type SettingName, type Settings } from './schema.ts'

type Variables = Readonly<Record<string, string | undefined>>

/** A setting of the environment, and whether the env file sets it too. */
export interface FromShell {
  readonly text: string
  readonly overrides: boolean
}

/** Valid settings, and what is worth knowing about them. */
export interface ReadSettings {
  readonly settings: Settings
  readonly warnings: readonly string[]
  /** Settings that come from the environment, as `NAME=value`; a value that may be secret is left out. */
  readonly fromShell: readonly FromShell[]
}

/**
 * Reads one env file. An environment variable in `shell` overrides the file; empty means not set. Throws
 * one Problem (SETTINGS_INVALID, exit 78) that lists all errors.
 */
export function readSettings(
  fileText: string,
  shell: Variables = {},
  fileName = 'the env file',
  options: CheckOptions = {},
): ReadSettings {
  const { errors, origins, ...read } = checkSettings(fileText, shell, options)
  if (errors.length > 0) throw settingsInvalid(fileName, errors, origins)
  return read
}

/** Reads one env file like `readSettings`, and returns its errors. With errors, settings may be missing. */
export function checkSettings(
  fileText: string,
  shell: Variables = {},
  options: CheckOptions = {},
): ReadSettings & { readonly errors: readonly SettingError[]; readonly origins: Origins } {
  const file = readEnvFile(fileText)
  const errors = [...file.errors]
  const unread = new Set(errors.map(({ name }) => name))
  const texts = new Map(file.values)
  const known = [
    ...Object.keys(allSettings),
    ...keysOfHosts(shell['LIBVIRT_URI'] ?? texts.get('LIBVIRT_URI') ?? ''),
  ]
  for (const name of file.lines.keys())
    if (!isSetting(name) && !isHostKey(name) && !unread.has(name))
      errors.push(unknownKey(name, known))
  const fromShell = known.filter((name) => shell[name] !== undefined)
  for (const name of fromShell) texts.set(name, shell[name] ?? '')
  const given = parseEach(texts, new Set(errors.map(({ name }) => name)), errors)
  const settings = completeSettings(readHosts(given, texts, errors))
  const found = crossCheck(settings, new Set(errors.map(({ name }) => name)), options)
  return {
    // Without errors every setting that is not optional has a value.
    settings: settings as Settings,
    warnings: found.warnings,
    fromShell: fromShell.map((name) => ({
      text: describe(name, shell[name] ?? ''),
      overrides: file.lines.has(name),
    })),
    errors: [...errors, ...found.errors],
    origins: { lines: file.lines, shell: new Set(fromShell) },
  }
}

function parseEach(
  texts: ReadonlyMap<string, string>,
  unread: ReadonlySet<string>,
  errors: SettingError[],
): GivenSettings {
  const given: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(allSettings)) {
    const written = texts.get(name)?.trim()
    const text = written === undefined || written === '' ? setting.default : written
    if (text === undefined) {
      if (setting.required && !unread.has(name))
        errors.push({ name, text: `missing; ${setting.about} For example: ${name}=home` })
      continue
    }
    const result = setting.type.safeParse(text)
    if (result.success) given[name] = result.data
    else {
      const shown = setting.secret === true ? 'its value' : quoted(text)
      const allowed = result.error.issues.map((issue) => issue.message).join('; ')
      errors.push({ name, text: `${shown} is not ${allowed}` })
    }
  }
  return given
}

function describe(name: string, value: string): string {
  // A kernel argument may hold the address of a config with a token.
  const isHidden =
    (isSetting(name) && allSettings[name].secret === true) || name === 'TALOS_KERNEL_ARGS'
  const shown = isHidden && value !== '' ? '...' : value
  return `${name}=${quoted(shown).slice(1, -1)}`
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(allSettings, name)
}

function unknownKey(name: string, known: readonly string[]): SettingError {
  const meant = nearest(name, known)
  return {
    name,
    text: `not a setting; ${meant === undefined ? 'remove the line, or write # in front of it' : `did you mean ${meant}?`}`,
  }
}
