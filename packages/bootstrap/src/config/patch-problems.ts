/** What is wrong with the folders of the user's patches and manifests. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  exitCodes,
  isUserFolder,
  listUserFolder,
  nearest,
  Problem,
  quote,
  type Cluster,
} from '@talosmith/core'

const known = ['patches', 'manifests'] as const

/**
 * Throws FOLDER_UNKNOWN for what is in env/<cluster>/ and would be ignored: a folder whose name is nearly that of one
 * that is read, and a patch beside its folder. Where the folder that is meant exists, it may be there on purpose
 * (manifests-off), and is returned as a warning. Everything else there is the user's own.
 */
export async function refuseMisplaced(
  { root, file }: Cluster,
  isPatch: (name: string) => boolean,
): Promise<string[]> {
  const folder = `env/${file}`
  const names = (await listUserFolder(join(root, folder), folder)) ?? []
  const warnings: string[] = []
  for (const name of names) {
    if (name.startsWith('.') || known.some((one) => one === name)) continue
    const isFolder = await isUserFolder(join(root, folder, name))
    const meant = isFolder ? nearest(name, known) : isPatch(name) ? `patches/${name}` : undefined
    if (meant === undefined) continue
    const [from, to] = [`${folder}/${name}`, `${folder}/${meant}`]
    const text = `${from} is not read: did you mean ${to}?`
    if (names.includes(isFolder ? meant : 'patches')) {
      warnings.push(text)
      continue
    }
    const move = `${isFolder ? '' : `mkdir -p ${folder}/patches && `}mv ${quote(from)} ${quote(to)}`
    throw new Problem('FOLDER_UNKNOWN', text, {
      because: `the folders that are read are ${known.map((one) => `${folder}/${one}`).join(' and ')}`,
      now: 'nothing was changed',
      hint: `${move}; to keep it out of use, put a dot in front of its name: mv ${quote(from)} ${quote(`${folder}/.${name}`)}`,
      exitCode: exitCodes.wrongSetting,
    })
  }
  return warnings
}

const lost = { patches: { code: 'PATCHES_LOST' }, manifests: { code: 'MANIFESTS_LOST' } } as const

/** A folder was there when the last configs were made, and is gone: PATCHES_LOST or MANIFESTS_LOST. */
export async function folderLost(
  cluster: Cluster,
  what: 'patches' | 'manifests',
  before: readonly string[],
): Promise<Problem> {
  const { name, file, root } = cluster
  const old = await findMoved(root, what, before)
  const empty = `to continue without ${what}: mkdir -p env/${file}/${what}${what === 'manifests' ? '; the next Kubernetes upgrade then deletes their objects' : ''}`
  return new Problem(lost[what].code, `the ${what} of cluster ${name} are gone`, {
    because: `its machine configs were made with ${before.join(', ')}, and there is no folder env/${file}/${what}`,
    now: `nothing was changed; the machines still have these ${what}`,
    hint:
      old === undefined
        ? `restore the folder, then run the same command again; ${empty}`
        : `mkdir -p env/${file} && mv ${quote(`env/${old}/${what}`)} env/${file}/${what}, then run the same command again; ${empty}`,
    exitCode: exitCodes.wrongSetting,
  })
}

/** The folder of an env file that no longer exists, with all these files: the env file was renamed. */
async function findMoved(
  root: string,
  what: 'patches' | 'manifests',
  files: readonly string[],
): Promise<string | undefined> {
  const names = await namesIn(join(root, 'env'))
  for (const name of names) {
    if (names.includes(`${name}.env`)) continue
    const there = await namesIn(join(root, 'env', name, what))
    if (files.every((file) => there.includes(file))) return name
  }
  return undefined
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((): string[] => [])
}

/** Files and folders that apply to no machine; a folder's name ends with a slash. */
export function patchNamesUnknown(
  folder: string,
  unknown: readonly string[],
  words: readonly string[],
): Problem {
  const lines = unknown.map((name) =>
    name.endsWith('/')
      ? `${name}: subfolders are not read; move its patches to ${folder}`
      : `${name}: did you mean ${meantBy(name, words)}?`,
  )
  return new Problem(
    'PATCH_NAME_UNKNOWN',
    `${unknown.join(', ')} in ${folder} ${unknown.length === 1 ? 'applies' : 'apply'} to no machine`,
    {
      because: `\n${lines.join('\n')}`,
      now: 'nothing was changed',
      hint: `rename each: a name begins with all, controlplane, worker or a machine's name, then . - or _; to keep one out of use, put a dot in front of its name (mv ${quote(`${folder}/${unknown[0]}`)} ${quote(`${folder}/.${unknown[0]}`)})`,
      exitCode: exitCodes.wrongSetting,
    },
  )
}

function meantBy(name: string, words: readonly string[]): string {
  const [, stem = name, ending = ''] = /^(.*?)(\.[^.]+)$/.exec(name) ?? []
  const word = words.find((one) => one.endsWith(`-${stem}`)) ?? nearest(stem, words)
  return word === undefined ? `all-${name}` : `${word}${ending}`
}
