/** How talosctl's output is read: resources, tables, versions, reasons. */
import { CommandFailed } from '@talosmith/core'

/** A resource as `talosctl get -o json` prints it. */
export interface Resource<Spec> {
  readonly node: string
  readonly metadata: { readonly id: string; readonly type: string }
  readonly spec: Spec
}

/** Reads what `talosctl get -o json` prints: objects one after the other, without a list around them. */
export function parseResources<Spec>(text: string): Resource<Spec>[] {
  const found: Resource<Spec>[] = []
  let start = -1
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"' && depth > 0) inString = true
    else if (char === '{' && depth++ === 0) start = i
    else if (char === '}' && depth > 0 && --depth === 0)
      found.push(JSON.parse(text.slice(start, i + 1)) as Resource<Spec>)
  }
  return found
}

/**
 * Reads a table of talosctl, row by row, by column title; titles and cells may hold single spaces. Columns are cut
 * where the titles begin, since a cell may be empty. A row that does not fit is cut at runs of spaces: 1.14 writes
 * the answer of a slow node as a table of its own, without a header (cmd/talosctl/cmd/talos/root.go).
 */
export function parseTable(text: string): Readonly<Record<string, string>>[] {
  const [header = '', ...rows] = text.split('\n').filter((line) => line.trim() !== '')
  const titles = [...header.matchAll(/\S+(?: \S+)*/g)]
  const starts = titles.map(({ index }) => index)
  return rows.map((row) => {
    const aligned = starts.map((start, column) => row.slice(start, starts[column + 1]))
    const cells = isAligned(aligned) ? aligned : row.trim().split(/ {2,}/)
    return Object.fromEntries(
      titles.map(([title], column) => [title, (cells[column] ?? '').trim()]),
    )
  })
}

/** Whether each cell begins where its title does, and ends before the next one with the writer's padding. */
function isAligned(cells: readonly string[]): boolean {
  return cells.every((cell, column) => {
    const isLast = cells.slice(column + 1).every((later) => later === '')
    return cell.trim() === '' || (!cell.startsWith(' ') && (isLast || cell.endsWith('  ')))
  })
}

/**
 * Reads the text of `talosctl version`, the only form it always has: the version of each machine.
 * A worker asked by itself does not report its address: `only` is that address.
 */
export function parseVersions(text: string, only?: string): ReadonlyMap<string, string> {
  const server = text.split(/^Server:.*$/m)[1] ?? ''
  const answers = [...server.matchAll(/^\s*NODE:\s+(\S+)\s*$\n\s*Tag:\s+(\S+)/gm)]
  const tag = /^\s*Tag:\s+(\S+)/m.exec(server)?.[1]
  if (answers.length === 0 && only !== undefined && tag !== undefined) return new Map([[only, tag]])
  return new Map(answers.map(([, node = '', version = '']) => [node, version]))
}

/** A service as `talosctl service <id>` shows it: its state and the last thing that happened to it. */
export interface ServiceState {
  readonly state: string
  readonly event: string
}

/** Reads `talosctl service <id>` of one machine; it has no JSON form. Undefined: there is no such service. */
export function parseService(text: string): ServiceState | undefined {
  const state = /^STATE\s+(\S+)/m.exec(text)?.[1]
  if (state === undefined) return undefined
  // "[Preparing]: Running pre state (3s ago)": the age would make every answer another one.
  const event = /^EVENTS\s+\[\w+\]: (.*?)(?: \([^()]* ago\))?$/m.exec(text)?.[1]
  return { state, event: event ?? '' }
}

/**
 * The readable part of an error: the description of a gRPC error, else what talosctl printed. `shorten` is
 * applied before it is cut.
 */
export function talosReason(
  error: unknown,
  shorten: (text: string) => string = (text) => text,
): string {
  if (!(error instanceof CommandFailed))
    return error instanceof Error ? error.message : String(error)
  const lines = shorten(error.stderr)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^WARNING\b/.test(line))
    .map((line) => line.trimEnd())
  const isCut = error.exitCode === timedOut && isCanceled(lines.at(-1) ?? '')
  if (lines.length === 0 || isCut) return error.message
  const text = lines.join('\n')
  const described = text.split(/\bdesc = /).at(-1) ?? text
  const plain = described
    .trim()
    .replace(/^"(.*)"$/s, '$1')
    .replace(/^error reading server preface: |^transport: authentication handshake failed: /, '')
  const limit = 600
  return plain.length > limit ? `${plain.slice(0, limit)} ...` : plain
}

/** The exit code of a command that our time limit ended. */
const timedOut = 124

/** What talosctl prints when it is told to end (Talos: pkg/cli/context.go, WithContext). */
const isCanceled = (line: string): boolean => /\bcontext canceled$/.test(line)

/** Why a call that may fail in part has no answer: its last line of stderr, or that it timed out. */
export function silenceOf(
  { stderr, exitCode }: { readonly stderr: string; readonly exitCode: number },
  limitMs: number,
): string {
  const last = stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^WARNING\b/.test(line))
    .at(-1)
    ?.replace(/^.*\bdesc = /, '')
    .trim()
  if (exitCode === timedOut && (last === undefined || isCanceled(last)))
    return `no answer within ${limitMs / 1000} s`
  return last ?? 'no output'
}

/** The gRPC status code in a refusal, such as `InvalidArgument`; undefined without one. */
export function grpcCode(error: unknown): string | undefined {
  if (!(error instanceof CommandFailed)) return undefined
  return /\bcode = (\w+)/.exec(error.stderr)?.[1]
}
