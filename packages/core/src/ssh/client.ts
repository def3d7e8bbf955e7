import { execFile } from 'node:child_process'
import { Problem } from '../problem.ts'

/** What one of OpenSSH's client programs printed, and its exit code; undefined when it was killed. */
export interface ClientOutput {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number | undefined
}

/** Looking up canonical names and the commands of `Match exec` take their time. */
export const clientTimeoutMs = 15_000

/**
 * Runs one of OpenSSH's client programs without a shell and with an empty standard input. Throws
 * SSH_CLIENT_MISSING where it is not installed.
 */
export function runClient(
  program: 'ssh' | 'ssh-keygen',
  args: readonly string[],
): Promise<ClientOutput> {
  return new Promise((resolve, reject) => {
    const options = { timeout: clientTimeoutMs, maxBuffer: 1 << 24, killSignal: 'SIGKILL' } as const
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve({ stdout, stderr, exitCode: 0 })
      if (error.code === 'ENOENT') return reject(missing(program, error))
      const exitCode = typeof error.code === 'number' ? error.code : undefined
      resolve({ stdout, stderr, exitCode })
    })
    // Without a program there is none to write to, which the callback tells.
    child.stdin?.on('error', () => undefined).end()
  })
}

function missing(program: string, cause: unknown): Problem {
  return new Problem('SSH_CLIENT_MISSING', `there is no ${program} on this machine`, {
    because: `it is not on PATH; OpenSSH's client reads ~/.ssh/config and known_hosts for a remote host`,
    hint: 'install it: apt-get install openssh-client, or dnf install openssh-clients',
    cause,
  })
}
