/** What is wrong with settings. */
import { withoutCredentials } from '../credentials.ts'

/** An error in one setting. */
export interface SettingError {
  /** Its name, or `line 3` when the line names no setting. */
  readonly name: string
  /** What is wrong, and what would be right; never a value that may be secret. */
  readonly text: string
  /** The line of the env file, when the setting has no value because of it. */
  readonly line?: number
  /** Other settings that the error is about: correcting one of them is enough. */
  readonly others?: readonly string[]
}

/**
 * A value as an error prints it: without user and password of an address, on one line, at most 120 characters.
 */
export function quoted(value: string): string {
  const shown = withoutCredentials(value).replace(/[\0-\x1f\x7f]/g, '?')
  return `"${shown.length > 120 ? `${shown.slice(0, 117)}...` : shown}"`
}
