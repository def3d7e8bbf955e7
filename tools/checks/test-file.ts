/** One test file in a process of its own, with a time limit for it and for all that it starts. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

export interface Ended {
  readonly output: string
  /** Undefined when it was ended by a signal, or at its limit. */
  readonly code: number | undefined
  /** Names of the tests that had begun, in order, when the limit was reached. */
  readonly begun?: readonly string[]
}

const naming = join(import.meta.dirname, 'name-tests.ts')
/** For files that remove what they made when they are told to end. */
const graceMs = 2000
const running = new Set<number>()

/** Runs a file until it ends, or until its limit: then it ends with its whole process group. */
export function runTestFile(file: string, limitMs: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--import', naming, file], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0' },
      // It leads a group, which ends with it.
      detached: true,
    })
    const { pid } = child
    if (pid === undefined) return void child.once('error', reject)
    running.add(pid)
    let output = ''
    let names = ''
    let timedOut = false
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stdio[3]?.on('data', (chunk: Buffer) => (names += chunk.toString()))
    const end = (code: number | null): void => {
      clearTimeout(limit)
      running.delete(pid)
      const begun = names.split('\n').filter(Boolean)
      resolve({ output, code: code ?? undefined, ...(timedOut && { code: undefined, begun }) })
    }
    const limit = setTimeout(() => {
      timedOut = true
      endGroup(pid, 'SIGTERM')
      setTimeout(() => {
        endGroup(pid, 'SIGKILL')
        // What left the group may hold the pipes open.
        for (const stream of child.stdio) stream?.destroy()
      }, graceMs)
    }, limitMs)
    child.on('close', end)
  })
}

/** Ends the files that run, when the runner itself is told to end: they are in groups of their own. */
export function endWithRunner(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      for (const pid of running) endGroup(pid, signal)
      process.kill(process.pid, signal)
    })
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // All of it has ended.
  }
}
