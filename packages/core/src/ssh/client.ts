/** Runs OpenSSH's client programs. */
import { execFile } from 'node:child_process'
import { isMac } from '../operator-system.ts'
import { Problem } from '../problem.ts'

/** The output of an OpenSSH client program and its exit code, which is undefined when it was killed. */
export interface ClientOutput {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number | undefined
}

/** Generous, because resolving canonical names and `Match exec` commands take time. */
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
    // When the program does not exist, the callback reports it.
    child.stdin?.on('error', () => undefined).end()
  })
}

function missing(program: string, cause: unknown): Problem {
  return new Problem('SSH_CLIENT_MISSING', `there is no ${program} on this machine`, {
    because: `it is not on PATH; OpenSSH's client reads ~/.ssh/config and known_hosts for a remote host`,
    hint: isMac()
      ? `macOS has it: put /usr/bin on PATH`
      : 'install it: apt-get install openssh-client, or dnf install openssh-clients',
    cause,
  })
}
