import { parse } from 'dotenv'
import { nearest } from '../did-you-mean.ts'
import { exitCodes, Problem } from '../problem.ts'
import { completeSettings, type GivenSettings } from './complete.ts'
import { crossCheck } from './cross-check.ts'
import { allSettings, type SettingName, type Settings } from './schema.ts'

/** What is wrong with one setting. */
interface SettingFault {
  readonly name: string
  readonly text: string
}

/** Settings and what is worth knowing about them although they are allowed. */
export interface ReadSettings {
  readonly settings: Settings
  readonly warnings: readonly string[]
}

/**
 * Reads one env file. A setting in the shell's environment wins over the file's; empty means left out.
 * Throws one Problem (SETTINGS_INVALID, exit 78) that names every fault at once.
 */
export function readSettings(
  fileText: string,
  shell: Readonly<Record<string, string | undefined>> = {},
  fileName = 'the env file',
): ReadSettings {
  const faults = [...repeatedKeys(fileText)]
  const texts: Record<string, string> = parse(fileText)
  for (const name of Object.keys(texts)) if (!(name in allSettings)) faults.push(unknownKey(name))
  for (const name of Object.keys(allSettings)) {
    const value = shell[name]
    if (value !== undefined) texts[name] = value
  }
  const given = parseEach(texts, faults)
  const settings = completeSettings(given)
  const { wrong, warnings } = crossCheck(settings, new Set(faults.map(({ name }) => name)))
  const lines = [...faults.map(({ name, text }) => `${name}: ${text}`), ...wrong]
  if (lines.length > 0) {
    const count = `${lines.length} setting${lines.length === 1 ? '' : 's'}`
    throw new Problem('SETTINGS_INVALID', `${count} of ${fileName} cannot be used`, {
      because: `\n${lines.join('\n')}`,
      now: 'nothing was changed',
      hint: `correct ${fileName}; every setting is described in docs/configuration.md`,
      exitCode: exitCodes.wrongSetting,
    })
  }
  // Without a fault every setting that is not optional has a value.
  return { settings: settings as Settings, warnings }
}

function parseEach(texts: Readonly<Record<string, string>>, faults: SettingFault[]): GivenSettings {
  const given: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(allSettings)) {
    const written = texts[name]?.trim()
    const text = written === undefined || written === '' ? setting.default : written
    if (text === undefined) {
      if (setting.required) faults.push({ name, text: `missing; ${setting.about}` })
      continue
    }
    const result = setting.type.safeParse(text)
    if (result.success) given[name] = result.data
    else
      faults.push({
        name,
        text: `"${text}" is not ${result.error.issues.map((issue) => issue.message).join('; ')}`,
      })
  }
  return given
}

function unknownKey(name: string): SettingFault {
  const meant = nearest(name, Object.keys(allSettings) as SettingName[])
  return {
    name,
    text: `not a setting${meant === undefined ? '' : `; did you mean ${meant}?`}`,
  }
}

function repeatedKeys(fileText: string): SettingFault[] {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const [, name = ''] of fileText.matchAll(
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=/gm,
  )) {
    if (seen.has(name)) repeated.add(name)
    seen.add(name)
  }
  return [...repeated].map((name) => ({ name, text: 'written more than once' }))
}
