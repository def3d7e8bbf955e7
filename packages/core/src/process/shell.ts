/** The interface for running commands: templates, options, output, errors. */
import { redactShapes } from '../secret-shapes.ts'

/** The exit code of a command that was ended by its timeout, as timeout(1) returns it. */
export const timeoutExitCode = 124

/** The output of a command and its exit code. */
export interface Output {
  readonly stdout: string
  readonly stderr: string
  /** 128 + signal number when a signal ended it, 124 after `timeoutMs`. */
  readonly exitCode: number
}

/** How to run one command. */
export interface RunOptions {
  /** Returns the output of a failed or timed-out command instead of throwing. */
  readonly nothrow?: boolean
  /** The command's standard input; empty by default. */
  readonly input?: string | Uint8Array
  /** Ends the command and its children after this many milliseconds; on a KVM host 10 minutes, if not given. */
  readonly timeoutMs?: number
  /** Called with each line of stdout and stderr while the command runs. */
  readonly onLine?: (line: string) => void
  /**
   * Ends the command and its children; the promise then rejects with the signal's reason. SIGINT and SIGTERM
   * do the same to every command.
   */
  readonly signal?: AbortSignal
  /** Additional environment variables; they go over standard input, and only the same user and root can read them there. */
  readonly env?: Readonly<Record<string, string>>
}

/** A value in a command: a string or number becomes one quoted word, a list several. */
export type CommandArgument = string | number | readonly (string | number)[]

/** Runs one command, written as a template. */
export type Command = (
  pieces: TemplateStringsArray,
  ...values: CommandArgument[]
) => Promise<Output>

/**
 * Runs commands as zx does: `` $`virsh dumpxml ${name}` `` or, with options,
 * `` $({ nothrow: true })`virsh dumpxml ${name}` ``. Values are quoted: do not put
 * quotes around them. bash runs it under `set -euo pipefail`, in the C locale, with an empty
 * standard input. A program must not open /dev/stdin, /dev/stdout or /dev/stderr by name (they are
 * sockets). Throws CommandFailed for any exit code but 0.
 */
export interface Shell extends Command {
  (options: RunOptions): Command
}

/** A command with an exit code other than 0; the message has the end of its output. */
export class CommandFailed extends Error {
  readonly command: string
  readonly host: string
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string

  constructor(host: string, command: string, output: Output, timedOutAfterMs?: number) {
    const words = firstWords(command)
    const what =
      timedOutAfterMs === undefined
        ? `${words} exited with ${output.exitCode}`
        : `${words} did not end within ${timedOutAfterMs / 1000} s`
    // Standard output may be a machine config.
    const tail = lastLines(output.stderr) || redactShapes(lastLines(output.stdout))
    super(tail === '' ? what : `${what}: ${tail}`)
    this.name = 'CommandFailed'
    this.host = host
    this.exitCode = output.exitCode
    this.command = command
    this.stdout = output.stdout
    this.stderr = output.stderr
    // An error that no one expected is printed with its enumerable properties; these may hold secrets.
    for (const name of ['command', 'stdout', 'stderr'])
      Object.defineProperty(this, name, { enumerable: false })
  }
}

/**
 * Program and verb of a command: enough to recognize it, too little to contain a secret. A script that begins with a
 * line such as `: create the disk` has that name.
 */
function firstWords(command: string): string {
  const name = /^\s*: ([\w -]+)\n/.exec(command)?.[1]
  if (name !== undefined) return name
  const words = command.trim().split(/\s+/)
  const odd = words.findIndex((word) => !/^[\w./:=@+-]+$/.test(word))
  const plain = words.slice(0, odd < 1 ? undefined : odd)
  return plain
    .filter((word) => !word.startsWith('-') && !word.includes('://'))
    .slice(0, 3)
    .join(' ')
}

function lastLines(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  return lines
    .slice(-3)
    .map((line) => line.replace(/^error: /, ''))
    .join('; ')
}
