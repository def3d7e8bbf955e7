/** What ran on the lab's host, sampled from outside: its processes are this machine's, in a network of their own. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { LabHost } from '../src/layout.ts'

/** Programs that change something. */
const changes =
  /\b(?:qemu-img (?:create|resize|convert|rebase|commit|amend)|xorriso|curl|zstd|xz|truncate|fallocate|tee|cp|mv|rm|ln|mkdir|rmdir|chmod|chown|touch|install)\b|\bdd\b.*\bof=/
/** What virsh only reads; it takes many commands in one argument, each after a semicolon. */
const virshReads =
  /^(?:echo|version|uri|capabilities|domcapabilities|nodeinfo|nodememstats|list|dumpxml|dom(?:info|state|stats|blkinfo|blklist|blkerror|iflist|time)|(?:pool|net|vol)-(?:list|info|dumpxml|path))$/

/** Whether a command line is of a program that changes something on its host. */
export function isChanging(command: string): boolean {
  const [, text] = /^(?:\S*\/)?virsh((?: .*)?)$/.exec(command) ?? []
  if (text === undefined) return changes.test(command)
  const words = text.replace(/^(?: -q| -c \S+| --?\w+=\S+)*/, '').split(';')
  return words
    .map((one) => one.trim().split(' ')[0] ?? '')
    .some((verb) => verb !== '' && !virshReads.test(verb))
}

const shell = /^(?:\S*\/)?(?:ba|da)?sh /

/** Starts to look; what is called at the end gives all command lines seen, and those that change something. */
export function watchHost(host: LabHost): () => { seen: string[]; changing: string[] } {
  const { pid } = JSON.parse(readFileSync(join(host.folder, 'pids', 'namespace'), 'utf8')) as {
    pid: number
  }
  const network = readlinkSync(`/proc/${pid}/ns/net`)
  const there = new Set(processesIn(network).keys())
  const seen = new Set<string>()
  const timer = setInterval(() => {
    for (const [id, command] of processesIn(network)) if (!there.has(id)) seen.add(command)
  }, 40)
  return () => {
    clearInterval(timer)
    const all = [...seen].filter((command) => command !== '')
    // A shell's command line holds all that it may do; what it does are processes of their own.
    const done = all.filter((command) => !shell.test(command))
    return { seen: all, changing: done.filter(isChanging) }
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
