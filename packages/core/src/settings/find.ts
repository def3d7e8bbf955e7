import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nearest } from '../did-you-mean.ts'
import { describeCluster, type Cluster } from '../cluster.ts'
import { exitCodes, Problem, reasonOf } from '../problem.ts'
import { readSettings } from './read.ts'

/**
 * Which env file to read: the one asked for (`--cluster` or CLUSTER), else the only one of the user's in
 * env/, else the fallback that package.json names. Throws a Problem that lists the files when there are
 * several.
 */
export async function chooseCluster(root: string, asked: string | undefined): Promise<string> {
  const names = await envFiles(root)
  if (asked !== undefined && asked !== '') {
    if (names.includes(asked)) return asked
    const meant = nearest(asked, names)
    throw new Problem('CLUSTER_UNKNOWN', `there is no env/${asked}.env`, {
      because: `env/ holds: ${names.map((name) => `${name}.env`).join(', ') || 'no env file'}`,
      hint:
        meant === undefined
          ? `cp env/example.env env/${asked}.env, and edit it`
          : `did you mean CLUSTER=${meant}?`,
      exitCode: exitCodes.wrongSetting,
    })
  }
  const fallback = await fallbackCluster(root)
  const users = names.filter((name) => isNoExample(name) && name !== fallback)
  if (users.length > 1)
    throw new Problem('CLUSTER_AMBIGUOUS', `env/ describes several clusters: ${users.join(', ')}`, {
      hint: `say which one: CLUSTER=${users[0]} in front of the command, or --cluster ${users[0]}`,
      exitCode: exitCodes.wrongSetting,
    })
  return users[0] ?? fallback
}

async function envFiles(root: string): Promise<string[]> {
  return (await readdir(join(root, 'env')).catch(() => []))
    .filter((name) => name.endsWith('.env') && name !== '.env')
    .map((name) => name.slice(0, -'.env'.length))
    .sort()
}

function isNoExample(file: string): boolean {
  return file !== 'example'
}

/** Every env file but the example, with its cluster or with what keeps it from being read. */
export async function listClusters(
  root: string,
): Promise<{ readonly file: string; readonly cluster?: Cluster; readonly error?: string }[]> {
  return Promise.all(
    (await envFiles(root)).filter(isNoExample).map(async (file) => {
      try {
        return { file, cluster: (await loadCluster(root, file, {})).cluster }
      } catch (error) {
        return { file, error: reasonOf(error) ?? '' }
      }
    }),
  )
}

/** The env file for who has written none: a cluster that needs nothing of the user's. */
async function fallbackCluster(root: string): Promise<string> {
  const { talosmith } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    talosmith: { fallbackCluster: string }
  }
  return talosmith.fallbackCluster
}

/** The cluster of one env file, and warnings about its settings. */
export async function loadCluster(
  root: string,
  asked: string | undefined,
  shell: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly cluster: Cluster; readonly warnings: readonly string[] }> {
  const file = await chooseCluster(root, asked)
  const path = join('env', `${file}.env`)
  const { settings, warnings } = readSettings(await readFile(join(root, path), 'utf8'), shell, path)
  return { cluster: describeCluster(settings, root, file), warnings }
}
