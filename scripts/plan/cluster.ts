import {
  observeAccess,
  observeCluster,
  planCluster,
  planWholeUpgrade,
  type ClusterPlan,
} from '@talosmith/bootstrap'
import type { Cluster, Host, Log } from '@talosmith/core'
import { attempt, partOf } from './attempt.ts'
import { planImage } from './image.ts'
import { planMachines } from './machines.ts'
import { withoutRepeats, type PartPlan } from './report.ts'
import { planStoragePart } from './storage.ts'

interface Context {
  readonly cluster: Cluster
  readonly eachHost: () => readonly Promise<Host>[]
  readonly log: Log
  readonly signal: AbortSignal
}

/** Looks at hosts, Talos, Kubernetes and storage side by side, and plans every part. Changes nothing. */
export async function planAll({ cluster, eachHost, log, signal }: Context): Promise<PartPlan[]> {
  const hosts = Promise.all(eachHost().map((host) => attempt(() => host)))
  const machines = hosts.then((opened) => planMachines(cluster, opened))
  const access = attempt(() => observeAccess(cluster))
  const isFresh = machines.then(({ fresh }) =>
    cluster.controlPlanes.every(({ name }) => fresh.has(name)),
  )
  const [image, { plan: made, fresh, leftOver, missingImages }, seen, allowed, storage] =
    await Promise.all([
      hosts.then((opened) => planImage(cluster, opened, signal)),
      machines,
      attempt(() => observeCluster(cluster, log)),
      access,
      planStoragePart(cluster, { access: access.then(({ value }) => value), isFresh }),
    ])
  const bootstrap =
    seen.value === undefined || allowed.value === undefined
      ? partOf('bootstrap', [seen, allowed])
      : await planBootstrap(
          { cluster, eachHost, log },
          planCluster(cluster, { ...seen.value, ...allowed.value }, fresh),
        )
  const vm = { ...made, changes: [...made.changes, ...leftOver] }
  // Missing images are no problem where the plan fetches them.
  const isFetched = image.changes.some(({ kind }) => kind === 'download-image')
  const ofMachines = isFetched ? vm : { ...vm, problems: [...vm.problems, ...missingImages] }
  return withoutRepeats([image, ofMachines, bootstrap, storage])
}

/** What cluster:up would do, and cluster:upgrade after it. */
async function planBootstrap(
  { cluster, eachHost, log }: Omit<Context, 'signal'>,
  { changes, needsUpgrade, unknown }: ClusterPlan,
): Promise<PartPlan> {
  const hosts = (): Promise<Host[]> => Promise.all(eachHost())
  const whole = await attempt(() =>
    needsUpgrade ? planWholeUpgrade({ cluster, log, hosts }) : undefined,
  )
  // An upgrade brings machines that do not restart their config, too: said once.
  const upgrade = (whole.value?.upgrade ?? []).filter(
    ({ kind, target }) => !changes.some((one) => one.kind === kind && one.target === target),
  )
  return partOf('bootstrap', [whole], { changes: [...changes, ...upgrade], unknown })
}
