import { chmod } from 'node:fs/promises'
import { relative } from 'node:path'
import { generatedFiles, Problem, type Cluster, type Node } from '@talosmith/core'
import { removedFolder } from './removal.ts'
import { openTalosctl, type Talosctl } from './talosctl.ts'
import { talosReason } from './talos-output.ts'
import { withWorkFolder } from './work-folder.ts'

const folder = 'snapshots'
const prefix = 'final-'
const answerMs = 15_000
const snapshotMs = 300_000

/** The last snapshot of a cluster that is being destroyed; undefined: none was taken. */
export async function findFinalSnapshot(cluster: Cluster): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  const names = (await files.list(folder)).map(({ name }) => name)
  const last = names.filter((name) => name.startsWith(`${folder}/${prefix}`)).sort()
  return last.length === 0 ? undefined : files.path(last.at(-1) ?? '')
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
  const name = `${folder}/${prefix}${new Date().toISOString().replaceAll(':', '-')}.db`
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
    hint: 'bring a control plane back, or leave FINAL_SNAPSHOT out to destroy the cluster without a snapshot',
  })
}
