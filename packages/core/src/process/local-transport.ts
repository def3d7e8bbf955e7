import { constants } from 'node:os'
import { Readable } from 'node:stream'
import { $ as zx } from 'zx/core'
import type { Transport } from './run.ts'

/** Process groups started here and not ended yet; none outlives the program. */
const groups = new Set<number>()
process.on('exit', () => groups.forEach((pid) => signalGroup(pid, 'TERM')))

/** Starts processes on this machine. */
export const localTransport: Transport = {
  async start(text, { input, onStdout, onStderr }) {
    const started = zx({
      // Not bash, which zx prefers: started with a socket as its input, it would read ~/.bashrc.
      shell: '/bin/sh',
      prefix: '',
      postfix: '',
      quiet: true,
      verbose: false,
      nothrow: true,
      // A process group of its own, so that a timeout ends all of it.
      detached: true,
      stdio: 'pipe',
      // The output is kept by the runner; a second copy here would only cost memory.
      store: { stdout: noStore(), stderr: noStore(), stdall: noStore() },
      ...(input === undefined ? {} : { input: streamOf(input) }),
    })([text] as unknown as TemplateStringsArray)
    const { child, pid } = started
    // For example E2BIG: a command of more than 128 KiB.
    if (child === undefined) throw (await started).cause ?? new Error('could not start /bin/sh')
    if (pid !== undefined) groups.add(pid)
    let inputError: Error | undefined
    if (input instanceof Readable)
      input.on('error', (error) => {
        inputError = error
        child.stdin?.destroy()
      })
    // A program may end before it has read all of its input; its exit code tells.
    child.stdin?.on('error', () => undefined)
    started.stdout.on('data', onStdout)
    started.stderr.on('data', onStderr)
    return {
      ended: started.then(({ exitCode, signal }) => {
        if (pid !== undefined) groups.delete(pid)
        if (inputError !== undefined) throw inputError
        return exitCode ?? 128 + signalNumber(signal)
      }),
      kill(signal) {
        if (pid !== undefined) signalGroup(pid, signal)
      },
      abandon() {
        for (const stream of child.stdio) stream?.destroy()
      },
    }
  },
}

function streamOf(input: string | Uint8Array | Readable): Readable {
  return input instanceof Readable ? input : Readable.from([input], { objectMode: false })
}

function signalGroup(pid: number, signal: 'TERM' | 'KILL'): void {
  try {
    process.kill(-pid, `SIG${signal}`)
  } catch {
    // It ended in the meantime.
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal]
}

function noStore(): Buffer[] {
  return Object.assign([], { push: () => 0 })
}
