/** Starts processes on this machine. */
import { constants } from 'node:os'
import { Readable } from 'node:stream'
import { $ as zx } from 'zx/core'
import type { Transport } from './run.ts'

/** Running process groups, which are ended when the program exits. */
const groups = new Set<number>()
process.on('exit', () => groups.forEach((pid) => signalGroup(pid, 'TERM')))

/** Starts processes on this machine. */
export const localTransport: Transport = {
  async start(text, { script, input, onStdout, onStderr }) {
    const started = zx({
      // Not bash, the default of zx: with a socket as its standard input it would read ~/.bashrc.
      shell: '/bin/sh',
      prefix: '',
      postfix: '',
      quiet: true,
      verbose: false,
      nothrow: true,
      // Its own process group, so that a timeout ends all of its processes.
      detached: true,
      stdio: 'pipe',
      // The runner collects the output; a second copy here would waste memory.
      store: { stdout: noStore(), stderr: noStore(), stdall: noStore() },
    })([text] as unknown as TemplateStringsArray)
    const { child, pid } = started
    if (child === undefined) throw (await started).cause ?? new Error('could not start /bin/sh')
    if (pid !== undefined) groups.add(pid)
    let inputError: Error | undefined
    const { stdin } = child
    // A program may exit before it has read all of its input; its exit code is what counts.
    stdin?.on('error', () => undefined)
    stdin?.write(script)
    if (input instanceof Readable) {
      input.on('error', (error) => {
        inputError = error
        stdin?.destroy()
      })
      if (stdin !== null) input.pipe(stdin)
    } else if (input !== undefined) stdin?.end(input)
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

function signalGroup(pid: number, signal: 'TERM' | 'KILL'): void {
  try {
    process.kill(-pid, `SIG${signal}`)
  } catch {
    // It has ended in the meantime.
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal]
}

function noStore(): Buffer[] {
  return Object.assign([], { push: () => 0 })
}
