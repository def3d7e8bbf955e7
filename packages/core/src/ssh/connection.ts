/** SSH connections, and running commands over them. */
import { constants } from 'node:os'
import { PassThrough, Readable, type Duplex } from 'node:stream'
import type { NodeSSH } from 'node-ssh'
import type { ClientChannel } from 'ssh2'
import { Problem } from '../problem.ts'
import type { Transport } from '../process/run.ts'
import { retry } from '../retry.ts'
import {
  completeTarget,
  currentSshUser,
  parseJump,
  type SshSettings,
  type SshUser,
} from './config.ts'
import { connectHop } from './hop.ts'
import { connectProblem } from './problems.ts'
import { Slots } from './slots.ts'
import type { SshTarget } from './target.ts'

/** sshd allows ten sessions per connection (MaxSessions); two are reserved for ending commands. */
const commandsAtOnce = 8

/** About 20 seconds in total. */
const sessionAttempts = 60

/** One connection to a remote machine, for all commands of a run. */
export interface SshConnection {
  /** 'root@kvm1' */
  readonly name: string
  readonly transport: Transport
  close(): Promise<void>
}

/**
 * Connects to a remote machine according to OpenSSH's configuration, agent and known_hosts; relative paths
 * of the URI are resolved against `root`. Every failure is a Problem whose code begins with SSH_.
 */
export async function connectSsh(
  target: SshTarget,
  root: string,
  user: SshUser = currentSshUser(),
): Promise<SshConnection> {
  const complete: Complete = (jump) => completeTarget(jump, user, root)
  const settings = await complete(target)
  const name = `${settings.user}@${target.host}${target.port === undefined ? '' : `:${target.port}`}`
  const opened: NodeSSH[] = []
  const close = async (): Promise<void> => opened.toReversed().forEach((ssh) => ssh.dispose())
  try {
    const ssh = await connectThrough(settings, name, complete, opened)
    return { name, transport: transportOver(ssh, name), close }
  } catch (error) {
    await close()
    throw error
  }
}

type Complete = (jump: Omit<SshTarget, 'kind'>) => Promise<SshSettings>

/** Connects through the hosts of ProxyJump, and adds every connection to `opened`. */
async function connectThrough(
  settings: SshSettings,
  name: string,
  complete: Complete,
  opened: NodeSSH[],
  depth = 0,
): Promise<NodeSSH> {
  if (depth > 8)
    throw new Problem('SSH_PROXY_UNSUPPORTED', `${name} is behind more than eight jump hosts`, {
      hint: 'check whether ProxyJump lines in ~/.ssh/config form a loop',
    })
  let before: NodeSSH | undefined
  for (const [index, jump] of settings.jumps.entries()) {
    const hop = await complete(parseJump(jump))
    const hopName = `${hop.user}@${hop.alias}`
    // As with OpenSSH, only the first hop may have jump hosts of its own.
    if (index === 0) before = await connectThrough(hop, hopName, complete, opened, depth + 1)
    else opened.push((before = await connectHop(hop, hopName, throughFor(before, hop, hopName))))
  }
  const ssh = await connectHop(settings, name, throughFor(before, settings, name))
  opened.push(ssh)
  return ssh
}

function throughFor(
  before: NodeSSH | undefined,
  settings: SshSettings,
  name: string,
): (() => Promise<Duplex>) | undefined {
  if (before === undefined) return undefined
  return async () => {
    try {
      return await before.forwardOut('127.0.0.1', 0, settings.host, settings.port)
    } catch (error) {
      throw connectProblem(error, settings, name, () => lost(name, error))
    }
  }
}

function transportOver(ssh: NodeSSH, name: string): Transport {
  const slots = new Slots(commandsAtOnce)
  return {
    async start(text, { script, input, urgent, onStdout, onStderr }) {
      const free = urgent === true ? () => undefined : await slots.take()
      const stdin = new PassThrough()
      stdin.write(script)
      let inputError: Error | undefined
      const giveUpInput = (error: Error): void => {
        inputError = error
        stdin.end()
      }
      if (!(input instanceof Readable)) {
        if (input !== undefined) stdin.end(input)
        // It may have failed while this command waited for a slot.
      } else if (input.errored !== null) giveUpInput(input.errored)
      else input.on('error', giveUpInput).pipe(stdin)
      let channel: ClientChannel | undefined
      let abandoned = false
      const execute = (): ReturnType<NodeSSH['execCommand']> =>
        ssh.execCommand(text, {
          stdin,
          noTrim: true,
          // The runner collects the bytes; latin1 keeps node-ssh's own copy small.
          encoding: 'latin1',
          onStdout,
          onStderr,
          onChannel(opened) {
            channel = opened
            // A program may exit before it has read all of its input; its exit code is what counts.
            opened.on('error', () => undefined)
            if (abandoned) opened.destroy()
          },
        })
      const ended = withSessionRetry(name, execute, () => abandoned)
        .then(({ code, signal }) => {
          if (inputError !== undefined) throw inputError
          if (code === null && signal === null) throw lost(name)
          return code ?? 128 + signalNumber(signal ?? '')
        })
        .catch((error: unknown) => {
          throw error instanceof Problem || error === inputError ? error : lost(name, error)
        })
        .finally(() => {
          stdin.destroy()
          free()
        })
      return {
        ended,
        abandon() {
          abandoned = true
          channel?.destroy()
        },
      }
    },
  }
}

/**
 * Retries a command while the host opens no session for it, in which case it was not started: sshd counts a
 * session as open for a moment after reporting it closed.
 */
async function withSessionRetry<T>(
  name: string,
  execute: () => Promise<T>,
  isAbandoned: () => boolean,
): Promise<T> {
  const isRefused = (error: unknown): boolean =>
    error instanceof Error && /Channel open failure/.test(error.message)
  try {
    return await retry(execute, {
      attempts: sessionAttempts,
      pauseMs: (failures) => Math.min(failures * 20, 500),
      isTransient: (error) => isRefused(error) && !isAbandoned(),
    })
  } catch (error) {
    if (!isRefused(error)) throw error
    throw new Problem('SSH_NO_SESSION', `${name} refuses to open another session`, {
      cause: error,
      hint: `check MaxSessions in its /etc/ssh/sshd_config; the default of 10 is enough`,
    })
  }
}

/** The number of a signal, whose name has the prefix SIG in ssh2 but not in SSH. */
function signalNumber(name: string): number {
  const signals: Readonly<Record<string, number>> = constants.signals
  return signals[`SIG${name.replace(/^SIG/, '')}`] ?? 0
}

function lost(name: string, cause?: unknown): Problem {
  return new Problem('SSH_CONNECTION_LOST', `the connection to ${name} was lost`, {
    cause,
    now: 'a command that was running there is ended',
    hint: 'when the host is reachable again, run the same command again: it continues',
  })
}
