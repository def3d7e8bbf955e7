/** Whether etcd may be bootstrapped: an empty etcd in the place of a former one is data loss. */
import { commandFor, controlPlanesLeft, Problem, type Cluster, type Flow } from '@talosmith/core'
import { observeEtcdElsewhere } from '@talosmith/clients/etcd'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import type { AccessProblem } from '../secrets/access.ts'
import { listBackups, type Backup } from '../generated/backups.ts'
import { isOfSecrets, readSecrets, type PublicSecrets } from '../secrets/secrets.ts'
import { refuseUnfinished } from '../generated/under-way.ts'

/** What shows that the cluster has run, although no control plane of the settings has etcd data. */
export interface FormerEtcd {
  /** Anything but 'missing': there is a kubeconfig, which is written only once etcd runs. */
  readonly kubeconfig: AccessProblem | undefined
  /** Backups that were taken with the current secrets, newest first; those of an earlier cluster had others. */
  readonly backups: readonly Pick<Backup, 'file' | 'takenAt'>[]
}

/** Who wants to bootstrap etcd. */
export interface Bootstrapper {
  /** CONFIRM names the cluster. */
  readonly confirmed?: boolean
  readonly within?: Flow
}

/**
 * Throws when etcd may not be bootstrapped: RESTORE_UNFINISHED, REGENERATION_UNFINISHED, CONTROL_PLANES_LEFT, or,
 * unless it is confirmed, ETCD_LOST. Returns whether that gives up the data of a former etcd.
 */
export async function refuseBootstrap(
  cluster: Cluster,
  kubeconfig: AccessProblem | undefined,
  { confirmed = false, within }: Bootstrapper = {},
  given?: { readonly talosctl: Talosctl; readonly secrets: PublicSecrets },
): Promise<boolean> {
  await refuseUnfinished(cluster, within)
  const secrets = given?.secrets ?? (await readSecrets(cluster))
  if (secrets !== undefined)
    await refuseEtcdElsewhere(cluster, given?.talosctl ?? (await openTalosctl(cluster)), secrets)
  const backups = await listBackups(cluster)
  const own = backups.filter((one) => secrets !== undefined && isOfSecrets(one, secrets))
  const problem = findLoss(cluster, { kubeconfig, backups: own })
  // A restore is confirmed for the data of its backup, never for an empty etcd.
  if (problem !== undefined && (!confirmed || within === 'cluster:restore')) throw problem
  return problem !== undefined
}

/** The problem of an empty etcd where a cluster has run; undefined: nothing shows that one has. Pure. */
export function findLoss(
  cluster: Cluster,
  { kubeconfig, backups }: FormerEtcd,
): Problem | undefined {
  const { name, controlPlanes } = cluster
  const [newest] = backups
  const signs = [
    ...(kubeconfig === 'missing' ? [] : [`there is a kubeconfig in generated/${name}`]),
    ...(newest === undefined
      ? []
      : [`backups were taken with its secrets, the newest at ${newest.takenAt}: ${newest.file}`]),
  ]
  if (signs.length === 0) return undefined
  const restore = `CONFIRM=${name} ${commandFor(cluster, 'cluster:restore')}`
  return new Problem('ETCD_LOST', `cluster ${name} has run before, and its etcd data is gone`, {
    because: [`${controlPlanes.map((node) => node.name).join(', ')}: no etcd data`, ...signs].join(
      '\n',
    ),
    now: 'etcd was not bootstrapped; the machines wait for it',
    hint: [
      newest === undefined
        ? `if the disks still exist somewhere, bring them back; with a backup in generated/${name}/backups: ${restore}`
        : `to restore the newest backup: ${restore}`,
      `to begin with an empty cluster instead: CONFIRM=${name} ${commandFor(cluster, 'cluster:up')}`,
    ].join('\n'),
  })
}

/** Throws CONTROL_PLANES_LEFT when a control plane that the settings no longer name still is the cluster. */
export async function refuseEtcdElsewhere(
  cluster: Cluster,
  talosctl: Talosctl,
  secrets: Pick<PublicSecrets, 'talosCa'>,
): Promise<void> {
  const others = await observeEtcdElsewhere(cluster, talosctl, secrets)
  if (others.length === 0) return
  throw controlPlanesLeft(
    cluster.settings,
    others.map(({ name, address, why }) => ({ name, why: `(${address}) ${why}` })),
  )
}
