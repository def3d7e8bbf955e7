/** A host for unit tests that needs no machine. */
import type { Host } from '../host/host.ts'
import { commandText, shellOf } from '../process/command.ts'
import { CommandFailed, type Output } from '../process/shell.ts'

/** The result of a command: its stdout, its whole output, or an error to throw. */
export type Answer = string | Partial<Output> | Error

/**
 * Results by command: a key matches the command that equals it, that starts with it and a space, or, written
 * as '/.../', that matches the regular expression; the first match wins. A function is called with every
 * command and its standard input, and returns undefined for an unexpected one.
 */
export type Answers =
  | Readonly<Record<string, Answer>>
  | ((command: string, input?: string) => Answer | undefined | Promise<Answer | undefined>)

/** A host that runs nothing: it returns prepared results and records all commands. */
export interface RecordingHost extends Host {
  /** All commands, in order; written and uploaded files appear as 'write <path>', 'upload <from> <to>'. */
  readonly commands: string[]
  /** The files that were written, by path. */
  readonly written: Map<string, { readonly text: string; readonly mode: number | undefined }>
  /** The standard input of commands, by command. */
  readonly inputs: Map<string, string>
}

/** Creates a recording host; a command without a result throws an error. */
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
  const answer = async (command: string): Promise<Output> => {
    const found =
      typeof answers === 'function'
        ? await answers(command, inputs.get(command))
        : find(answers, command)
    if (found === undefined) throw new Error(`recordingHost has no answer to: ${command}`)
    if (found instanceof Error) throw found
    const output = typeof found === 'string' ? { stdout: found } : found
    return { stdout: '', stderr: '', exitCode: 0, ...output }
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
      const output = await answer(command)
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
      const output = await answer(command)
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
