/** Turns a file into a program that needs no cluster, and prints the errors of every program. */
import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { silentLog, type Log } from './log.ts'
import { readOptions, usageOf, type Options } from './options.ts'
import { exitCodes, Problem, renderProblem, type ExitCode } from './problem.ts'

/** The option that every program has. */
export const helpOption = {
  help: { type: 'boolean', about: 'print this and stop' },
} as const satisfies Options

interface ProgramDefinition {
  readonly summary: string
  readonly run: () => Promise<void>
}

/** Turns a file into a program whose only option is --help. It runs only when the file is the main module. */
export function program(meta: Pick<ImportMeta, 'url'>, definition: ProgramDefinition): void {
  void isProgram(meta.url).then((yes) => (yes ? runAsProgram(definition) : undefined))
}

async function runAsProgram({ summary, run }: ProgramDefinition): Promise<void> {
  try {
    const { help } = readOptions(helpOption, process.argv.slice(2))
    if (help === true) console.log(usageOf(summary, helpOption))
    else await run()
  } catch (error) {
    process.exitCode = reportError(error, silentLog)
  }
}

/** Whether the module at `url` is the one that Node was started with. */
export async function isProgram(url: string): Promise<boolean> {
  const started = process.argv[1]
  return (
    started !== undefined && (await realpath(started).catch(() => started)) === fileURLToPath(url)
  )
}

/**
 * Prints a Problem without a stack and any other error with one; returns the exit code. `now` is the state of a Problem
 * that does not give it.
 */
export function reportError(error: unknown, log: Log, now?: string): ExitCode {
  if (error instanceof Problem) {
    process.stderr.write(`${renderProblem(error, now)}\n`)
    log.event('problem', { code: error.code, text: error.message })
    return error.exitCode
  }
  console.error('This is a bug in Talosmith. Please report it with these lines:')
  console.error(error)
  log.event('bug', { text: error instanceof Error ? error.message : String(error) })
  return exitCodes.failed
}
