import { randomUUID } from 'node:crypto'
import { Problem } from '../problem.ts'
import { quote } from '../process/command.ts'
import { CommandFailed } from '../process/shell.ts'
import type { Host } from './host.ts'

/** What one command of a batch said; `error` is there exactly when it failed. */
export interface BatchResult {
  readonly stdout: string
  readonly error?: string
}

/** virsh on one connection of a host. */
export interface Virsh {
  /** What virsh says, without the empty lines at its end; throws CommandFailed when it refuses. */
  virsh(host: Host, ...args: string[]): Promise<string>
  /** What each command says, in order, from one virsh process; a failed one stops none of the others. */
  virshBatch(host: Host, commands: readonly (readonly string[])[]): Promise<BatchResult[]>
}

/** Linux takes 128 KiB in one argument; more commands than fit go to a second process. */
const batchBytes = 100_000

/** virsh connected to `connection`, for example 'qemu:///system'. Both throw LIBVIRT_UNREACHABLE. */
export function virshOn(connection: string): Virsh {
  return {
    async virsh(host, ...args) {
      try {
        return (await host.$`virsh -q -c ${connection} ${args}`).stdout.trimEnd()
      } catch (error) {
        if (error instanceof CommandFailed) refuseUnreachable(host, error.stderr, error.exitCode)
        throw error
      }
    },
    async virshBatch(host, commands) {
      const mark = `${randomUUID()}.`
      const results: BatchResult[] = []
      for (const part of parts(commands, mark)) {
        const output = await host.$({ nothrow: true })`virsh -q -c ${connection} ${part.text}`
        const outs = cut(output.stdout, mark)
        const errors = cut(output.stderr, `error: ${mark}`)
        refuseUnreachable(host, output.stderr, output.exitCode)
        // virsh refuses the whole of its input when it can't parse a part of it.
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
 * The commands as one argument, which virsh reads as a list: fed through standard input it would
 * echo each line and a prompt into the output. After each comes a mark on both outputs, since
 * nothing else tells whose error is whose.
 */
function parts(commands: readonly (readonly string[])[], mark: string) {
  const texts = commands.map(
    (words) => `${words.map(quote).join(' ')}; echo ${mark}; echo --err ${mark}`,
  )
  const found: { text: string; count: number }[] = []
  let length = Infinity
  for (const text of texts) {
    // Quoted twice on its way to the host: as a word of a command, and with the command.
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
  // Whether echo ends its line differs between versions.
  return texts.map((part) => part.replace(/^\n/, ''))
}

function resultOf(stdout: string, stderr: string): BatchResult {
  const text = stdout.trimEnd()
  if (!/^error: /m.test(stderr)) return { stdout: text }
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return { stdout: text, error: lines.map((line) => line.replace(/^error: /, '')).join('\n') }
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
      ? `let this user use libvirt: usermod -aG libvirt <user> on ${host.name}, then log in anew; or let it use sudo without a password`
      : `look at it on ${host.name}: systemctl status libvirtd.socket virtqemud.socket; start one: systemctl enable --now libvirtd.socket`,
  })
}
