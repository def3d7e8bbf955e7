/** Finds the env file of a cluster and reads it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'dotenv'
import { nearest } from '../did-you-mean.ts'
import { describeCluster, type Cluster } from '../cluster.ts'
import { listUserFolder, readUserFile } from '../user-files.ts'
import { exitCodes, Problem, reasonOf } from '../problem.ts'
import { readSettings, type FromShell } from './read.ts'

/**
 * Chooses the env file: the requested one (`--cluster` or CLUSTER), else the user's only one in env/, else
 * the fallback named in package.json. Throws a Problem that lists the files when there are several.
 */
export async function chooseCluster(root: string, requested: string | undefined): Promise<string> {
  const names = await envFiles(root)
  if (requested !== undefined && requested !== '') {
    if (names.includes(requested)) return requested
    const named = requested.replace(/^(?:.*\/)?env\//, '').replace(/\.env$/, '')
    const clusters = names.filter(isNotExample)
    const isName = /^\w[\w.-]*$/.test(requested)
    const near = isName ? nearest(requested, clusters) : undefined
    const meant = names.includes(named) ? named : near
    throw new Problem('CLUSTER_UNKNOWN', `there is no env/${requested}.env`, {
      because: `env/ contains: ${clusters.map((name) => `${name}.env`).join(', ') || 'no env file of a cluster'}`,
      now: 'nothing was changed',
      hint:
        meant !== undefined
          ? `did you mean CLUSTER=${meant}?`
          : isName
            ? `cp env/example.env env/${requested}.env, and edit it`
            : 'use the name of a file in env/ without .env, for example CLUSTER=home for env/home.env',
      exitCode: exitCodes.wrongSetting,
    })
  }
  const fallback = await fallbackCluster(root)
  const users = names.filter((name) => isNotExample(name) && name !== fallback)
  if (users.length > 1)
    throw new Problem('CLUSTER_AMBIGUOUS', `env/ describes several clusters: ${users.join(', ')}`, {
      now: 'nothing was changed',
      hint: `choose one: put CLUSTER=${users[0]} in front of the command, or add --cluster ${users[0]}`,
      exitCode: exitCodes.wrongSetting,
    })
  return users[0] ?? fallback
}

async function envFiles(root: string): Promise<string[]> {
  return ((await listUserFolder(join(root, 'env'), 'env')) ?? [])
    .filter((name) => name.endsWith('.env') && name !== '.env')
    .map((name) => name.slice(0, -'.env'.length))
    .sort()
}

function isNotExample(file: string): boolean {
  return file !== 'example'
}

/** Every env file except the example, with its cluster, or with the error that its settings have. */
export async function listClusters(
  root: string,
): Promise<{ readonly file: string; readonly cluster?: Cluster; readonly error?: string }[]> {
  return Promise.all(
    (await envFiles(root)).filter(isNotExample).map(async (file) => {
      try {
        return { file, cluster: (await readCluster(root, file, {})).cluster }
      } catch (error) {
        return { file, error: reasonOf(error) ?? '' }
      }
    }),
  )
}

/** The env file for users who have none: a demo cluster with default settings. */
async function fallbackCluster(root: string): Promise<string> {
  const { talosmith } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    talosmith: { fallbackCluster: string }
  }
  return talosmith.fallbackCluster
}

/**
 * The cluster of one env file, warnings about its settings, and settings that come from the environment.
 * Throws CLUSTER_NAME_TWICE.
 */
export async function loadCluster(
  root: string,
  requested: string | undefined,
  shell: Readonly<Record<string, string | undefined>>,
): ReturnType<typeof readCluster> {
  const read = await readCluster(root, requested, shell)
  await refuseSecondFile(root, read.cluster)
  return read
}

async function readCluster(
  root: string,
  requested: string | undefined,
  shell: Readonly<Record<string, string | undefined>>,
): Promise<{
  readonly cluster: Cluster
  readonly warnings: readonly string[]
  readonly fromShell: readonly FromShell[]
}> {
  const file = await chooseCluster(root, requested)
  const path = join('env', `${file}.env`)
  const text = await readUserFile(join(root, path), path)
  const { settings, warnings, fromShell } = readSettings(text, shell, path, {
    patchedSubnets: await hasPatchedSubnets(root, file),
  })
  return { cluster: describeCluster(settings, root, file), warnings, fromShell }
}

/** Whether a patch sets the networks of pods or services; one that can't be read is reported where patches are used. */
async function hasPatchedSubnets(root: string, file: string): Promise<boolean> {
  const folder = join(root, 'env', file, 'patches')
  const names = await ifReadable(listUserFolder(folder, folder))
  const texts = await Promise.all(
    (names ?? [])
      .filter((name) => /\.(?:ya?ml|json)$/i.test(name))
      .map((name) => ifReadable(readUserFile(join(folder, name), name))),
  )
  return texts.some((text) => /\b(?:pod|service)Subnets\b/.test(text ?? ''))
}

async function ifReadable<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch((error: unknown) => {
    if (error instanceof Problem) return undefined
    throw error
  })
}

/**
 * Throws CLUSTER_NAME_TWICE when another env file has the same CLUSTER_NAME: the machines and secrets of both would
 * be the same. A CLUSTER_NAME from the shell counts for the selected file alone.
 */
async function refuseSecondFile(root: string, { file, name }: Cluster): Promise<void> {
  for (const other of await envFiles(root)) {
    if (other === file || !isNotExample(other)) continue
    const path = join('env', `${other}.env`)
    const text = await readUserFile(join(root, path), path).catch(() => '')
    if (parse(text)['CLUSTER_NAME']?.trim() !== name) continue
    throw new Problem(
      'CLUSTER_NAME_TWICE',
      `env/${file}.env and env/${other}.env both describe cluster ${name}`,
      {
        because: `the machines are named ${name}-cp1 and so on, and secrets are in generated/${name}: each file would change the cluster of the other`,
        now: 'nothing was changed',
        hint: `give one of them another CLUSTER_NAME; if both are for the same cluster, keep one of them, and move the other out of env/`,
        exitCode: exitCodes.wrongSetting,
      },
    )
  }
}
