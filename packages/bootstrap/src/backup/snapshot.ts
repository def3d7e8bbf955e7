import { chmod } from 'node:fs/promises'
import { relative } from 'node:path'
import { generatedFiles, Problem, type Change, type Cluster, type Node } from '@talosmith/core'
import { removedFolder } from '../generated/removal.ts'
import { secretsFile, sha256 } from '../generated/secrets.ts'
import { openTalosctl, type Talosctl, talosReason } from '@talosmith/clients/talos'
import { withWorkFolder } from '../generated/work-folder.ts'

const folder = 'snapshots'
const prefix = 'final-'
const answerMs = 15_000
const snapshotMs = 300_000

/**
 * The last snapshot of a cluster that is being destroyed; undefined: none was taken. One of an earlier cluster
 * of the same name, which had other secrets, is none of this one.
 */
export async function findFinalSnapshot(cluster: Cluster): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  const life = await lifeOf(cluster)
  if (life === undefined) return undefined
  const names = (await files.list(folder)).map(({ name }) => name).sort()
  const last = names.findLast(
    (name) => name.startsWith(`${folder}/${prefix}`) && name.endsWith(`-${life}.db`),
  )
  return last === undefined ? undefined : files.path(last)
}

/** Taking it, as a change that a list can show. */
export function planFinalSnapshot({ name }: Cluster): Change {
  return {
    kind: 'take-snapshot',
    target: 'etcd',
    summary: `Take a last etcd snapshot into generated/${name}/${folder}`,
    risk: 'none',
  }
}

/** Tells one cluster of a name from the next by their secrets; undefined: there are none (any more). */
async function lifeOf(cluster: Cluster): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  const text =
    (await files.read(secretsFile)) ?? (await files.read(`${removedFolder}/${secretsFile}`))
  return text === undefined ? undefined : sha256(text).slice(0, 12)
}

/**
 * Takes etcd's data from the first control plane that gives it, into `snapshots/`; the path. Throws
 * SNAPSHOT_FAILED, with what each of them said.
 */
export async function takeFinalSnapshot(
  cluster: Cluster,
  open: typeof openTalosctl = openTalosctl,
): Promise<string> {
  const files = generatedFiles(cluster)
  const places = ['talosconfig', `${removedFolder}/talosconfig`]
  const config = await firstOf(places, (name) => files.has(name))
  if (config === undefined)
    throw failed(cluster, 'there is no talosconfig to ask the machines with')
  const talosctl = await open(cluster, config)
  const time = new Date().toISOString().replaceAll(':', '-')
  const life = await lifeOf(cluster)
  const name = `${folder}/${prefix}${time}${life === undefined ? '' : `-${life}`}.db`
  return withWorkFolder(cluster, async (work) => {
    const temporary = work.path('etcd.db')
    const reasons: string[] = []
    for (const node of cluster.controlPlanes) {
      const reason = await snapshotFrom(node, talosctl, temporary)
      if (reason === undefined) {
        await chmod(temporary, 0o600)
        await files.move(relative(cluster.generated, temporary), name)
        return files.path(name)
      }
      reasons.push(`${node.name}: ${reason}`)
    }
    throw failed(cluster, reasons.join('\n'))
  })
}

/** Why a control plane gave no snapshot; undefined: it did. */
async function snapshotFrom(
  { address }: Node,
  talosctl: Talosctl,
  path: string,
): Promise<string | undefined> {
  try {
    // Asked first with a short limit: a machine that is off would hold the snapshot up for minutes.
    await talosctl.ask([address], ['etcd', 'status'], { timeoutMs: answerMs })
    await talosctl.ask([address], ['etcd', 'snapshot', path], { timeoutMs: snapshotMs })
    return undefined
  } catch (error) {
    return talosReason(error)
  }
}

async function firstOf(
  names: readonly string[],
  isThere: (name: string) => Promise<boolean>,
): Promise<string | undefined> {
  for (const name of names) if (await isThere(name)) return name
  return undefined
}

function failed({ name }: Cluster, because: string): Problem {
  return new Problem('SNAPSHOT_FAILED', `no etcd snapshot of cluster ${name} could be taken`, {
    because,
    now: 'nothing was changed',
    hint: 'bring a control plane back, or leave FINAL_SNAPSHOT out to go on without a snapshot',
  })
}
