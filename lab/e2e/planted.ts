/** Secrets that the chapters plant where users have some: in a patch, the gate command, a domain. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { projectRoot } from '@talosmith/core'

/** A patch of all clusters of env/lab.env; git ignores it. */
export const plantedPatch: string = join(projectRoot, 'env/lab/patches/all-planted.yaml')

/** What is planted. Each begins with `word`, which is another one for each run of all chapters. */
export interface Planted {
  readonly word: string
  /** A command with a password, which it ignores. */
  readonly gateCommand: string
  /** VNC uses the first eight characters of a password. */
  readonly vncPassword: string
}

let known: Planted | undefined

/** Plants the patch unless an earlier chapter has, and returns what is planted. */
export function plant(): Planted {
  known ??= describe(read() ?? create())
  return known
}

/** Removes the patch; the folder too, unless it has others. */
export function removePlanted(): void {
  rmSync(plantedPatch, { force: true })
  for (const folder of [dirname(plantedPatch), dirname(dirname(plantedPatch))])
    try {
      rmdirSync(folder)
    } catch {
      return
    }
}

function describe(word: string): Planted {
  return { word, gateCommand: `true --password ${word}-gate`, vncPassword: word }
}

function read(): string | undefined {
  if (!existsSync(plantedPatch)) return undefined
  return /password: (\w+)-patch/.exec(readFileSync(plantedPatch, 'utf8'))?.[1]
}

/** A registry's password, as in Talos' config.RegistryAuthConfig; the lab's machines pull from no registry. */
function create(): string {
  const word = `Zq${randomBytes(3).toString('hex')}`
  mkdirSync(dirname(plantedPatch), { recursive: true })
  const text = `machine:
  registries:
    config:
      registry.lab:
        auth:
          username: lab
          password: ${word}-patch
`
  writeFileSync(plantedPatch, text, { mode: 0o600 })
  return word
}
