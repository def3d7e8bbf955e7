/** Runs virsh on a host. */
import { randomUUID } from 'node:crypto'
import { Problem } from '../problem.ts'
import { quote } from '../process/command.ts'
import { CommandFailed, timeoutExitCode } from '../process/shell.ts'
import type { Host } from './host.ts'

/** The output of one command of a batch; `error` is set exactly when it failed. */
export interface BatchResult {
  readonly stdout: string
  readonly error?: string
}

/** virsh on one connection of a host. */
export interface Virsh {
  /** The output of virsh without trailing empty lines; throws CommandFailed when it fails. */
  virsh(host: Host, ...args: string[]): Promise<string>
  /**
   * The output of each command, in order, from one virsh process; a failed one does not stop the others. Without
   * commands nothing is started.
   */
  virshBatch(host: Host, commands: readonly (readonly string[])[]): Promise<BatchResult[]>
}

/** Linux limits one argument to 128 KiB; further commands go to another process. */
const batchBytes = 100_000

/** Within this, libvirt answers even on a host that is short of processors; one that hangs never does. */
export const virshMs = 60_000
/** These start QEMU, restore its memory from a file or wait for its end. */
const slowMs = 5 * 60_000
const slowCommands = ['start', 'resume', 'destroy', 'blockresize', 'undefine']

/**
 * virsh connected to `connection`, for example 'qemu:///system'. Both throw LIBVIRT_UNREACHABLE, also when libvirt
 * accepts the connection and then hangs.
 */
export function virshOn(
  connection: string,
  { queryMs, changeMs } = { queryMs: virshMs, changeMs: slowMs },
): Virsh {
  return {
    async virsh(host, ...args) {
      const timeoutMs = slowCommands.includes(args[0] ?? '') ? changeMs : queryMs
      try {
        const output = await host.$({ timeoutMs })`virsh -q -c ${connection} ${args}`
        return output.stdout.trimEnd()
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error
        refuseUnreachable(host, error.stderr, error.exitCode)
        if (error.exitCode === timeoutExitCode) throw silent(host, args[0] ?? '', timeoutMs)
        throw error
      }
    },
    async virshBatch(host, commands) {
      const marker = `${randomUUID()}.`
      const results: BatchResult[] = []
      for (const part of parts(commands, marker)) {
        const output = await host.$({
          nothrow: true,
          timeoutMs: queryMs,
        })`virsh -q -c ${connection} ${part.text}`
        if (output.exitCode === timeoutExitCode)
          throw silent(host, /^[\w-]*/.exec(part.text)?.[0] ?? '', queryMs)
        const outs = cut(output.stdout, marker)
        const errors = cut(output.stderr, `error: ${marker}`)
        refuseUnreachable(host, output.stderr, output.exitCode)
        // virsh rejects its whole input when it can't parse part of it.
        if (outs.length !== part.count || errors.length !== part.count)
          throw new CommandFailed(host.name, 'virsh', { ...output, exitCode: output.exitCode || 1 })
        outs.forEach((stdout, index) => results.push(resultOf(stdout, errors[index] ?? '')))
      }
      return results
    },
  }
}

export const { virsh, virshBatch } = virshOn('qemu:///system')

/**
 * The commands as one argument, which virsh reads as a list: with commands on its standard input it would
 * print each line and a prompt. A marker on both streams follows each command, to tell whose error is whose.
 */
function parts(commands: readonly (readonly string[])[], marker: string) {
  const texts = commands.map(
    (words) => `${words.map(quote).join(' ')}; echo ${marker}; echo --err ${marker}`,
  )
  const found: { text: string; count: number }[] = []
  let length = Infinity
  for (const text of texts) {
    // It is quoted twice: as a word of the command, and as part of the script that contains the command.
    length += quote(quote(text)).length
    const last = found.at(-1)
    if (last !== undefined && length < batchBytes) {
      last.text += `; ${text}`
      last.count += 1
    } else {
      found.push({ text, count: 1 })
      length = quote(quote(text)).length
    }
  }
  return found
}

function cut(text: string, end: string): string[] {
  const texts = text.split(end).slice(0, -1)
  // Whether virsh's echo ends its line depends on the version.
  return texts.map((part) => part.replace(/^\n/, ''))
}

function resultOf(stdout: string, stderr: string): BatchResult {
  const text = stdout.trimEnd()
  if (!/^error: /m.test(stderr)) return { stdout: text }
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return { stdout: text, error: lines.map((line) => line.replace(/^error: /, '')).join('\n') }
}

/** The Problem of a libvirt that accepts connections, but does not answer. */
function silent(host: Host, command: string, timeoutMs: number): Problem {
  return new Problem('LIBVIRT_UNREACHABLE', `libvirt on ${host.name} does not answer`, {
    because: `virsh ${command} did not end within ${timeoutMs / 1000} s`,
    now: 'libvirt may still carry out that command; machines that run are not affected',
    hint: `restart it on ${host.name}, which leaves the machines running: systemctl try-restart libvirtd virtqemud; if that hangs too, look for storage that does not answer (df, journalctl -u libvirtd). Then run the same command again`,
  })
}

function refuseUnreachable(host: Host, stderr: string, exitCode: number): void {
  if (exitCode === 127)
    throw new Problem('VIRSH_MISSING', `there is no virsh on ${host.name}`, {
      hint: `install it there (Debian: apt-get install libvirt-daemon-system libvirt-clients; Fedora: dnf install libvirt), then run the same command again`,
    })
  if (!/failed to connect to the hypervisor/.test(stderr)) return
  const denied = /[Pp]ermission denied|authentication|polkit|access denied/.test(stderr)
  throw new Problem('LIBVIRT_UNREACHABLE', `libvirt on ${host.name} does not answer`, {
    because: stderr.replaceAll(/^error: /gm, '').trim(),
    hint: denied
      ? `allow this user to use libvirt: usermod -aG libvirt <user> on ${host.name}, then log in again; or allow it to use sudo without a password`
      : `check it on ${host.name}: systemctl status libvirtd.socket virtqemud.socket; start one: systemctl enable --now libvirtd.socket`,
  })
}
