/** What ran on the lab's host, sampled from outside: its processes are this machine's, in a network of their own. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { LabHost } from '../src/layout.ts'

/** Commands that change something, as whole words of a command line. */
const changes =
  /\b(?:virsh\b.*\b(?:define|undefine|start|destroy|shutdown|reboot|reset|suspend|resume|vol-(?:create|delete|resize|upload)\S*|pool-(?:define|build|start|destroy|undefine|delete)\S*|net-(?:define|start|destroy|undefine)|set(?:mem|maxmem|vcpus)|(?:at|de)tach-\S+|update-device|metadata|autostart|blockresize)|qemu-img (?:create|resize|convert|rebase|commit|amend)|xorriso|curl|zstd|xz|truncate|fallocate|tee|cp|mv|rm|ln|mkdir|rmdir|chmod|chown|touch|install|dd\b.*\bof=)\b/

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
    return { seen: all, changing: done.filter((command) => changes.test(command)) }
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
