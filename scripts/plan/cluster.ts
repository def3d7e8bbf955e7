/** The plan of a whole cluster: every part, observed in parallel. */
import {
  observeAccess,
  observeCluster,
  planCluster,
  planWholeUpgrade,
  refuseBootstrap,
  type ClusterPlan,
  type ObservedAccess,
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

/** Observes hosts, Talos, Kubernetes and storage in parallel, and plans every part. Changes nothing. */
export async function planAll({ cluster, eachHost, log, signal }: Context): Promise<PartPlan[]> {
  const hosts = Promise.all(eachHost().map((host) => attempt(() => host)))
  const machines = hosts.then((opened) => planMachines(cluster, opened))
  const access = attempt(() => observeAccess(cluster))
  const isFresh = machines.then(({ fresh }) =>
    cluster.controlPlanes.every(({ name }) => fresh.has(name)),
  )
  const [image, { plan: vmPlan, fresh, leftOver, missingImages }, observed, allowed, storage] =
    await Promise.all([
      hosts.then((opened) => planImage(cluster, opened, signal)),
      machines,
      attempt(() => observeCluster(cluster, log)),
      access,
      planStoragePart(cluster, { access: access.then(({ value }) => value), isFresh }),
    ])
  const bootstrap =
    observed.value === undefined || allowed.value === undefined
      ? partOf('bootstrap', [observed, allowed])
      : await planBootstrap(
          { cluster, eachHost, log },
          planCluster(cluster, { ...observed.value, ...allowed.value }, fresh),
          allowed.value,
        )
  const vm = { ...vmPlan, changes: [...vmPlan.changes, ...leftOver] }
  // Missing images are not a problem when the plan downloads them.
  const isDownloaded = image.changes.some(({ kind }) => kind === 'download-image')
  const ofMachines = isDownloaded ? vm : { ...vm, problems: [...vm.problems, ...missingImages] }
  return withoutRepeats([image, ofMachines, bootstrap, storage])
}

/** What cluster:up would do, and then cluster:upgrade. */
async function planBootstrap(
  { cluster, eachHost, log }: Omit<Context, 'signal'>,
  { changes, needsUpgrade, unknown }: ClusterPlan,
  { kubeconfig }: ObservedAccess,
): Promise<PartPlan> {
  const hosts = (): Promise<Host[]> => Promise.all(eachHost())
  const whole = await attempt(() =>
    needsUpgrade ? planWholeUpgrade({ cluster, log, hosts }) : undefined,
  )
  const bootstraps = changes.some(({ kind }) => kind === 'bootstrap-etcd')
  const start = await attempt(() => (bootstraps ? refuseBootstrap(cluster, kubeconfig) : undefined))
  // An upgrade also updates the configs of machines that do not restart: list each once.
  const upgrade = (whole.value?.upgrade ?? []).filter(
    ({ kind, target }) => !changes.some((one) => one.kind === kind && one.target === target),
  )
  return partOf('bootstrap', [whole, start], { changes: [...changes, ...upgrade], unknown })
}
