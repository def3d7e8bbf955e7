/** Runs one test file in its own process, with a time limit for it and for everything that it starts. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

export interface Ended {
  readonly output: string
  /** Undefined if it was ended by a signal, or at its time limit. */
  readonly code: number | undefined
  /** Names of the tests that had begun, in order, when the limit was reached. */
  readonly begun?: readonly string[]
}

const naming = join(import.meta.dirname, 'name-tests.ts')
/** For files that clean up on SIGTERM. */
const graceMs = 2000
const running = new Set<number>()

/** Runs a file until it ends, or until its limit: then it ends with its whole process group. */
export function runTestFile(file: string, limitMs: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--import', naming, file], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0' },
      // It leads a process group, which is ended with it.
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
        // A process that left the group may hold the pipes open.
        for (const stream of child.stdio) stream?.destroy()
      }, graceMs)
    }, limitMs)
    child.on('close', end)
  })
}

/** Ends the running files when the runner itself is ended: they are in their own process groups. */
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
    // The whole group has ended.
  }
}
