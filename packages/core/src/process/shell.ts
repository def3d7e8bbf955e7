/** What a command said and how it ended. */
export interface Output {
  readonly stdout: string
  readonly stderr: string
  /** 128 + the signal's number when a signal ended it, 124 when `timeoutMs` did. */
  readonly exitCode: number
}

/** How to run one command. */
export interface RunOptions {
  /** Gives back the output of a failed or timed-out command instead of throwing. */
  readonly nothrow?: boolean
  /** The command's standard input. Without it, the command reads an empty one. */
  readonly input?: string | Uint8Array
  /** Ends the command, and what it started, after so many milliseconds. */
  readonly timeoutMs?: number
  /** Called with each line of stdout and stderr while the command runs. */
  readonly onLine?: (line: string) => void
  /**
   * Ends the command, and what it started; the promise then rejects with the signal's reason. So it does
   * for every command when the run is told to stop.
   */
  readonly signal?: AbortSignal
  /** More environment variables. Other users of the machine can see them: no secrets here. */
  readonly env?: Readonly<Record<string, string>>
}

/** What may stand in a command: each string or number becomes one quoted word, a list several. */
export type CommandArgument = string | number | readonly (string | number)[]

/** Runs one command, written as a template. */
export type Command = (
  pieces: TemplateStringsArray,
  ...values: CommandArgument[]
) => Promise<Output>

/**
 * Runs commands as zx does: `` $`virsh dumpxml ${name}` `` or, with options,
 * `` $({ nothrow: true })`virsh dumpxml ${name}` ``. Values are quoted: write none of your own
 * quotes around them. bash runs it under `set -euo pipefail`, in the C locale, with an empty
 * standard input. A program must not open /dev/stdin, /dev/stdout or /dev/stderr by name (they are
 * sockets); throws CommandFailed for any exit code but 0.
 */
export interface Shell extends Command {
  (options: RunOptions): Command
}

/** A command that ended with another exit code than 0, with the end of what it said. */
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
    const said = lastLines(output.stderr) || lastLines(output.stdout)
    super(said === '' ? what : `${what}: ${said}`)
    this.name = 'CommandFailed'
    this.host = host
    this.command = command
    this.exitCode = output.exitCode
    this.stdout = output.stdout
    this.stderr = output.stderr
  }
}

/** Program and verb of a command: enough to know it by, too little to hold what nobody should see. */
function firstWords(command: string): string {
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
