/** The lines of an env file. dotenv parses the values; what it would misread is an error here. */
import { parse } from 'dotenv'
import type { SettingError } from './errors.ts'
import { allSettings } from './schema.ts'

/** The values of an env file by key, and the lines that can't be read. */
export interface EnvFile {
  readonly values: ReadonlyMap<string, string>
  /** The line of each key, from 1. */
  readonly lines: ReadonlyMap<string, number>
  readonly errors: readonly SettingError[]
}

/**
 * Reads the text of an env file strictly: a line is blank, a comment, or `[export ]KEY=VALUE`, where the value
 * ends with its line. dotenv alone skips other lines, cuts values at `#`, and lets an open quote swallow lines.
 */
export function readEnvFile(text: string): EnvFile {
  const values = new Map<string, string>()
  const lines = new Map<string, number>()
  const errors: SettingError[] = []
  const all = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  for (const [index, content] of all.entries()) {
    if (/^[ \t]*(?:#|$)/.test(content)) continue
    const line = index + 1
    const entry = readLine(content)
    if ('problem' in entry)
      errors.push({ name: entry.key ?? `line ${line}`, text: entry.problem, line })
    if (entry.key === undefined) continue
    const first = lines.get(entry.key)
    if (first === undefined) lines.set(entry.key, line)
    else
      errors.push({
        name: entry.key,
        text: `written more than once, on lines ${first} and ${line}; keep one of them`,
        line,
      })
    if ('value' in entry) values.set(entry.key, entry.value)
  }
  return { values, lines, errors }
}

type Line =
  | { readonly key: string; readonly value: string }
  | { readonly key: string | undefined; readonly problem: string }

/** Characters that look like a space or like nothing: dotenv takes some of them for white space. */
const invisible =
  /[\0-\x08\x0b-\x1f\x7f\x85\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]/u

function readLine(content: string): Line {
  const hidden = invisible.exec(content)?.[0]
  if (hidden !== undefined) {
    const code = hidden.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
    return {
      key: keyIn(content),
      problem: `has an invisible character (U+${code}); type the line again, with plain spaces`,
    }
  }
  const [, key, rest] = /^[ \t]*(?:export[ \t]+)?([^\s=:#"'`]+)[ \t]*=(.*)$/.exec(content) ?? []
  if (key === undefined || rest === undefined) {
    const named = keyIn(content)
    const isColon = named !== undefined && content.includes(`${named}:`)
    return {
      key: named,
      problem:
        named === undefined
          ? 'is neither blank, nor a comment, nor KEY=VALUE; write # in front of a comment'
          : `${isColon ? 'has ":" where "=" belongs' : 'has no "=" after the key'}; write ${named}=<value>`,
    }
  }
  const problem = problemOf(rest)
  if (problem !== undefined) return { key, problem }
  // The key's spelling is checked with the settings; dotenv reads only some.
  const value = parse(`K=${rest}`)['K']
  if (value !== written(rest))
    return { key, problem: "can't be read as it is written; put the whole value in single quotes" }
  return { key, value }
}

/** The setting that a line names, else its first word. */
function keyIn(content: string): string | undefined {
  const words = content.match(/[A-Za-z_][\w-]*/g) ?? []
  return (
    words.find((word) => Object.hasOwn(allSettings, word)) ??
    /^[ \t\ufeff]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)/.exec(content)?.[1]
  )
}

const quotedValue = /^[ \t]*(?:'([^']*)'|"([^"]*)"|`([^`]*)`)(?:[ \t]*|[ \t]+#.*)$/

/** The value as the line has it: what dotenv must read too. */
function written(rest: string): string {
  const match = quotedValue.exec(rest)
  return match?.[1] ?? match?.[2] ?? match?.[3] ?? unquoted(rest)
}

function unquoted(rest: string): string {
  return rest.replace(/(?:^|[ \t])[ \t]*#.*$/, '').trim()
}

/** What dotenv would read differently from how a person does; undefined: nothing. */
function problemOf(rest: string): string | undefined {
  const quote = /^[ \t]*(["'`])/.exec(rest)?.[1]
  if (quote !== undefined) return problemOfQuoted(rest.trim(), quote)
  const hash = rest.indexOf('#')
  if (hash === -1) return undefined
  if (hash === 0 || !/[ \t]/.test(rest[hash - 1] ?? ''))
    return 'has a # inside the value, which would end it; put the whole value in single quotes'
  for (const one of ['"', "'", '`'])
    if (rest.slice(0, hash).split(one).length % 2 === 0)
      return 'has a # between quotes, which would end the value; put the whole value in other quotes'
  return undefined
}

function problemOfQuoted(rest: string, quote: string): string | undefined {
  const other = quote === "'" ? '"' : "'"
  const end = rest.indexOf(quote, 1)
  if (end === -1) return `has an open quote; end the value with ${quote} on the same line`
  if (quote === '`')
    return 'is between backticks, which quote a text here, and run no command; put the value in single quotes'
  if (rest[end - 1] === '\\')
    return `has \\${quote} in the value, whose backslash would stay; put the whole value in ${other} instead`
  if (!/^(?:[ \t]+#.*)?$/.test(rest.slice(end + 1)))
    return `has text after the closing quote; put the whole value in ${other}, or leave the quotes out`
  if (quote === '"' && /\\[nr]/.test(rest.slice(1, end)))
    return 'has a backslash that would become a line break; put the value in single quotes'
  return undefined
}
