/** Looks for the secrets of the lab's clusters where none may be. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { local, projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { parse } from 'yaml'
import { kvm1 } from '../src/layout.ts'
import { plant, plantedPatch } from './planted.ts'
import { records } from './record.ts'

/** A secret text, and where it is from. */
export interface Secret {
  readonly at: string
  readonly text: string
}

/** Where to look: files, and folders with all that is below. */
export interface Place {
  readonly paths: readonly string[]
  /** Patterns of paths, as of `find -path`. */
  readonly except?: readonly string[]
  /** Only files that were changed after this one. */
  readonly since?: string
}

const shortest = 16

/**
 * Every string of a secret file that is long enough to be a key, a token or a certificate; also the lines of keys
 * that are in base64.
 */
export function secretsIn(text: string, at: string): Secret[] {
  return stringsIn(parse(text), at)
}

function stringsIn(value: unknown, at: string): Secret[] {
  if (typeof value === 'string') {
    // Addresses and paths are printed on purpose.
    if (value.length < shortest || /^https:|^\//.test(value)) return []
    const inside = Buffer.from(value, 'base64').toString('latin1')
    const lines = [value, ...(/-----BEGIN [A-Z0-9 ]*KEY/.test(inside) ? [inside] : [])]
      .flatMap((one) => one.split('\n'))
      .filter((line) => line.length >= shortest && !line.startsWith('-----'))
    return lines.map((line) => ({ at, text: line }))
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => stringsIn(inner, `${at}.${key}`))
}

/** What begins with a word in any of the secrets that are planted: as it is, and within a text in base64. */
export function formsOf(word: string): Secret[] {
  const encoded = [0, 1, 2].map((offset) => {
    const bytes = Buffer.from(' '.repeat(offset) + word)
    // Six bits a character: those that also depend on what is before or after are left out.
    return bytes
      .toString('base64')
      .slice(Math.ceil((offset * 8) / 6), Math.floor((bytes.length * 8) / 6))
  })
  return [word, ...encoded].map((text) => ({ at: 'what the chapters planted', text }))
}

/** All secrets that any cluster of the chapters had until now. */
export function allSecrets(): Secret[] {
  const names = existsSync(records.secrets) ? readdirSync(records.secrets) : []
  return [
    ...formsOf(plant().word),
    ...names.flatMap((name) => secretsIn(readFileSync(join(records.secrets, name), 'utf8'), name)),
  ]
}

/** The secrets found in a place, each as the file and where the secret is from, without the secret itself. */
export async function leaksIn(place: Place, secrets = allSecrets()): Promise<string[]> {
  const [last] = secrets.slice(-1)
  if (last === undefined) throw new Error('no secrets are known')
  const folder = temporaryFolder('leaks')
  const patterns = join(folder, 'patterns')
  writeFileSync(patterns, secrets.map(({ text }) => text).join('\n'), { mode: 0o600 })
  // A search that does not work finds nothing, not even this.
  const control = join(folder, 'control')
  writeFileSync(control, `x${last.text}x`, { mode: 0o600 })
  const found = (await search(place, patterns, control)).filter((path) => path !== control)
  return found.flatMap((path) => {
    const content = readFileSync(path)
    const from = secrets.filter(({ text }) => content.includes(text)).map(({ at }) => at)
    return [...new Set(from)].map((at) => `${path} has ${at}`)
  })
}

async function search(place: Place, patterns: string, control: string): Promise<string[]> {
  const { paths, except = [], since } = place
  // The first one: this and earlier searches.
  const excluded = ['*/talosmith-leaks-*', ...except]
    .flatMap((one) => ['-o', '-path', one])
    .slice(1)
  const newer = since === undefined ? [] : ['-newer', since]
  // Without a path, find would search the current folder.
  const there = [control, ...paths.filter((path) => existsSync(path))]
  // Disks and images are larger. Files may vanish, and grep exits with 1 where it finds nothing.
  const { stdout } = await local.$({ nothrow: true, timeoutMs: 300_000 })`
{ find ${there} -mount ${['(', ...excluded, ')']} -prune -o -type f -size -32768k ${newer} -print0 || true
printf '%s\\0' ${control}; } | xargs -0 -r grep -laF -f ${patterns} --`
  const found = stdout.split('\n').filter(Boolean)
  if (!found.includes(control)) throw new Error('the search for secrets does not work')
  return found
}

/** All bundles of all clusters, unpacked in a folder. */
export async function unpackBundles(): Promise<string> {
  const folder = temporaryFolder('bundles')
  const generated = join(projectRoot, 'generated')
  const bundles = readdirSync(generated, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\/bundles\/.*\.tar\.(?:zst|gz)$/.test(name),
  )
  for (const [index, name] of bundles.entries()) {
    const into = join(folder, `${index}-${basename(name)}`)
    await local.$`mkdir ${into} && tar -xf ${join(generated, name)} -C ${into}`
  }
  return folder
}

/** Where no secret may be, by what it is. */
export const places: Readonly<Record<string, Place>> = {
  'the output of all runs': { paths: [records.output] },
  'the arguments of processes during the runs': { paths: [records.arguments] },
  "Nx's folders": { paths: ['.nx', 'node_modules/.cache'].map((name) => join(projectRoot, name)) },
  'the records of runs': {
    paths: [join(projectRoot, 'generated')],
    // Where secrets belong, and what a killed run leaves of that.
    except: [
      ...['*/configs', '*/archive', '*/removed', '*/work', '*.db', '*.tmp'],
      ...['*secrets.yaml', '*/talosconfig', '*/kubeconfig'],
    ],
  },
  // It shares /tmp with this machine, where this checkout may be, too.
  "the host's files": {
    paths: [kvm1.folder, '/tmp'],
    except: ['*.qcow2', '*.raw', '*.raw.*', projectRoot],
    since: plantedPatch,
  },
}

/** What is found in all places. */
export async function allLeaks(): Promise<string[]> {
  const secrets = allSecrets()
  const found: string[] = []
  for (const place of Object.values(places)) found.push(...(await leaksIn(place, secrets)))
  return found
}
