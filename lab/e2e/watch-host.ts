/** Samples the processes of the lab's host from outside: they are this machine's, in a network namespace of their own. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { LabHost } from '../src/layout.ts'

/** Programs that only print, whatever their arguments are; the project uses them for reading. */
const readers = new Set([
  ...['arping', 'base64', 'basename', 'cat', 'cmp', 'cut', 'df', 'dirname', 'dmesg', 'du', 'echo'],
  ...['file', 'getent', 'grep', 'head', 'id', 'ls', 'nproc', 'od', 'paste', 'printf', 'pwd'],
  ...[
    'readlink',
    'realpath',
    'seq',
    'sha256sum',
    'sleep',
    'sort',
    'stat',
    'tail',
    'test',
    'tr',
    'true',
  ],
  ...['false', 'uname', 'uniq', 'wc', 'which', '['],
])

/** Programs that start another one: the command after their own arguments is checked. */
const starters: Readonly<Record<string, RegExp>> = {
  busybox: /^/,
  env: /^(?:\w+=\S* )*/,
  nice: /^(?:-n ?-?\d+ )?/,
  sudo: /^(?:-n )?/,
  timeout: /^(?:-[sk] ?\w+ )*[\d.]+[smh]? /,
}

/** Programs that only read with these arguments. */
const readings: Readonly<Record<string, RegExp>> = {
  date: /^\+\S+$/,
  dd: /^(?!.*\bof=(?!\/dev\/null\b))/,
  find: /^(?!.* -(?:delete|exec|execdir|ok|okdir|fls|fprint\w*)\b)/,
  ip: /^(?:-\S+ )*(?:route get|(?:a|addr|address|l|link|n|neigh|r|route)(?: show| list|$))/,
  iptables: /^(?:-w )?-[SL]\b/,
  openssl: /^dgst /,
  'qemu-img': /^info /,
  sed: /^(?!-\S*i|.* (?:-i|--in-place))/,
}

/** virsh's reading commands; one argument may have several, separated by semicolons. */
const virshReads =
  /^(?:echo|version|uri|capabilities|domcapabilities|nodeinfo|nodememstats|list|dumpxml|dom(?:info|state|stats|blkinfo|blklist|blkerror|iflist|time)|(?:pool|net|vol)-(?:list|info|dumpxml|path))$/

/** The host's own daemons and what they start by themselves; and shells, whose commands are processes of their own. */
const daemons =
  /^(?:sshd|sftp-server|libvirtd|virtlogd|qemu-system-\w+|ganesha\.nfsd|dnsmasq|bash|sh|dash|nsenter)$/

/**
 * The run's lock on its host (packages/core/src/host/host-lock.ts): it is there as long as the run, and all that
 * a run without changes writes.
 */
const ownLock = [
  /^mkdir -- \/tmp\/talosmith-locks$/,
  /^flock -w 10 9$/,
  /^(?:touch|rm -f) -- [\da-f-]{36}\.tmp$/,
  /^ln -T -- [\da-f-]{36}\.tmp [\w-]+\.lock$/,
  /^rm -f -- [\w-]+\.lock$/,
  /^(?:touch -c|rm -f) -- \/tmp\/talosmith-locks\/[\w-]+\.lock$/,
  /^find \/tmp\/talosmith-locks -name \*\.tmp -mmin \+10 -delete$/,
  /^rmdir -- \/tmp\/talosmith-locks$/,
]

/** Whether a command line may change something on its host: every command does that is not known to only read. */
export function isChanging(command: string): boolean {
  const [program = '', ...rest] = command.trim().split(' ')
  const name = program.replace(/^.*\//, '').replace(/^-|:$/g, '')
  const text = rest.join(' ')
  if (ownLock.some((one) => one.test(command.trim()))) return false
  const start = starters[name]
  if (start !== undefined) return isChanging(text.replace(start, ''))
  if (name === 'virsh') return isChangingVirsh(text)
  if (readers.has(name) || daemons.test(name)) return false
  return !(readings[name]?.test(text) ?? false)
}

function isChangingVirsh(text: string): boolean {
  const commands = text.replace(/^(?:-q |-c \S+ |--?\w+=\S+ )*/, '').split(';')
  return commands
    .map((one) => one.trim().split(' ')[0] ?? '')
    .some((verb) => verb !== '' && !virshReads.test(verb))
}

/** Starts to watch; the returned function ends it and returns all observed command lines, and those that may change something. */
export function watchHost(host: LabHost): () => { observed: string[]; changing: string[] } {
  const { pid } = JSON.parse(readFileSync(join(host.folder, 'pids', 'namespace'), 'utf8')) as {
    pid: number
  }
  const network = readlinkSync(`/proc/${pid}/ns/net`)
  const there = new Set(processesIn(network).keys())
  const observed = new Set<string>()
  const timer = setInterval(() => {
    for (const [id, command] of processesIn(network)) if (!there.has(id)) observed.add(command)
  }, 40)
  return () => {
    clearInterval(timer)
    const all = [...observed].filter((command) => command !== '')
    return { observed: all, changing: all.filter(isChanging) }
  }
}

/** The processes of a network namespace: ID to command line. One that ends meanwhile is left out. */
function processesIn(network: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      if (readlinkSync(`/proc/${id}/ns/net`) !== network) continue
      found.set(id, readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim())
    } catch {
      continue
    }
  return found
}
