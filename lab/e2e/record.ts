/** Records, for 8-secrets, what a run of the project shows, and which secrets there were. */
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { labFolder } from '../src/layout.ts'

/** Where it is recorded: lab:stop removes it. */
export interface Records {
  /** What every run printed. */
  readonly output: string
  /** The command lines of all processes of this machine, and so of the lab's host, during the runs. */
  readonly arguments: string
  /** Copies of all secret files, by their digests. */
  readonly secrets: string
}

export function recordsIn(folder: string): Records {
  return {
    output: join(folder, 'output'),
    arguments: join(folder, 'arguments'),
    secrets: join(folder, 'secrets'),
  }
}

export const records: Records = recordsIn(join(labFolder, 'recorded'))

const everyMs = 200
const secretFile = /(?:^|[./])(?:secrets\.yaml|talosconfig|kubeconfig)$/
const secretly = { mode: 0o600 }
/** Command lines that this process has recorded. */
const recorded = new Set<string>()

/** Begins to record a run; the returned function ends that, with what the run has printed. */
export function record(command: readonly string[]): (output: string) => void {
  const stop = sampleArguments()
  // Before, too: a destroy removes them. And in between: tools/e2e.ts creates and destroys a cluster in one run.
  keepSecrets()
  const timer = setInterval(keepSecrets, 5000)
  return (output) => {
    clearInterval(timer)
    const fresh = [...stop()].filter((line) => !recorded.has(line))
    for (const line of fresh) recorded.add(line)
    keepSecrets()
    // The run was lab:stop.
    if (!existsSync(labFolder)) return
    mkdirSync(join(records.output, '..'), { recursive: true, mode: 0o700 })
    appendFileSync(records.output, `$ ${command.join(' ')}\n${output}\n`, secretly)
    appendFileSync(records.arguments, fresh.map((line) => `${line}\n`).join(''), secretly)
  }
}

/** Reads the command lines of all processes again and again, until the returned function is called. */
export function sampleArguments(): () => ReadonlySet<string> {
  const found = new Set<string>()
  const sample = (): void => {
    for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      try {
        found.add(readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim())
      } catch {
        // It has ended.
      }
  }
  sample()
  const timer = setInterval(sample, everyMs)
  return () => {
    clearInterval(timer)
    sample()
    return found
  }
}

/** Copies every secret file of every cluster that is not kept yet: also those of clusters that are gone later. */
function keepSecrets(): void {
  if (existsSync(labFolder)) copySecrets(join(projectRoot, 'generated'), records.secrets)
}

/** Copies all secret files below a folder into another one. */
export function copySecrets(from: string, to: string): void {
  let names: string[] = []
  try {
    names = readdirSync(from, { recursive: true, encoding: 'utf8' })
  } catch {
    // It does not exist, or a folder in it was removed meanwhile: the next time finds what is left.
  }
  for (const name of names.filter((one) => secretFile.test(one)))
    try {
      const text = readFileSync(join(from, name))
      const digest = createHash('sha256').update(text).digest('hex').slice(0, 12)
      const copy = join(to, `${digest}.${basename(name)}`)
      if (existsSync(copy)) continue
      mkdirSync(to, { recursive: true, mode: 0o700 })
      writeFileSync(copy, text, secretly)
    } catch {
      // It was moved meanwhile, and is found at its new place.
    }
}
