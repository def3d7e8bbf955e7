import type { Host } from '../host/host.ts'
import { commandText, shellOf } from '../process/command.ts'
import { CommandFailed, type Output } from '../process/shell.ts'

/** What a command is answered with: its stdout, all of its output, or an error to throw. */
export type Answer = string | Partial<Output> | Error

/**
 * Answers by command: a key answers the command that equals it, or starts with it and a space, or,
 * written as '/.../', that matches it as a regular expression; the first that fits wins. A function
 * is asked for every command; undefined from it means that the command was not expected.
 */
export type Answers = Readonly<Record<string, Answer>> | ((command: string) => Answer | undefined)

/** A host that runs nothing: it answers from a script and remembers what was asked. */
export interface RecordingHost extends Host {
  /** Every command, in order; files written and sent appear as 'write <path>', 'upload <from> <to>'. */
  readonly commands: string[]
  /** What `write` was given, by path. */
  readonly written: Map<string, { readonly text: string; readonly mode: number | undefined }>
  /** The standard input of each command that had one, by command. */
  readonly inputs: Map<string, string>
}

/** A recording host; a command without an answer is an error that names it. */
export function recordingHost(
  answers: Answers = {},
  {
    name = 'root@kvm1',
    isLocal = false,
  }: { readonly name?: string; readonly isLocal?: boolean } = {},
): RecordingHost {
  const commands: string[] = []
  const written: RecordingHost['written'] = new Map()
  const inputs = new Map<string, string>()
  const answer = (command: string): Output => {
    const found = typeof answers === 'function' ? answers(command) : find(answers, command)
    if (found === undefined) throw new Error(`recordingHost has no answer to: ${command}`)
    if (found instanceof Error) throw found
    const said = typeof found === 'string' ? { stdout: found } : found
    return { stdout: '', stderr: '', exitCode: 0, ...said }
  }
  return {
    name,
    isLocal,
    commands,
    written,
    inputs,
    $: shellOf(async (command, options) => {
      commands.push(command)
      if (options.input !== undefined) inputs.set(command, Buffer.from(options.input).toString())
      const output = answer(command)
      if (options.onLine !== undefined)
        (output.stdout + output.stderr).split('\n').filter(Boolean).forEach(options.onLine)
      if (output.exitCode !== 0 && options.nothrow !== true)
        throw new CommandFailed(name, command, output)
      return output
    }),
    async read(path) {
      const command = commandText`cat -- ${path}`
      commands.push(command)
      const text = written.get(path)?.text
      if (text !== undefined) return text
      const output = answer(command)
      if (output.exitCode !== 0) throw new CommandFailed(name, command, output)
      return output.stdout
    },
    async write(path, text, { mode } = {}) {
      commands.push(commandText`write ${path}`)
      written.set(path, { text: Buffer.from(text).toString(), mode })
    },
    async upload(localPath, remotePath) {
      commands.push(commandText`upload ${localPath} ${remotePath}`)
    },
    close: async () => undefined,
  }
}

function find(answers: Readonly<Record<string, Answer>>, command: string): Answer | undefined {
  return Object.entries(answers).find(([key]) => fits(key, command))?.[1]
}

function fits(key: string, command: string): boolean {
  const source = /^\/(.*)\/$/s.exec(key)?.[1]
  if (source !== undefined) return new RegExp(source).test(command)
  return command === key || command.startsWith(`${key} `)
}
