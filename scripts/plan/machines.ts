/** The vm part of a plan. */
import { findUnfinishedMachines, type Cluster, type Host } from '@talosmith/core'
import {
  checkHosts,
  createsMachines,
  describeMachineStatus,
  findMissingImages,
  findProblems,
  findWarnings,
  observeHost,
  planCreate,
  planDropChannels,
  withPlaces,
} from '@talosmith/vm'
import { attempt, partOf, type Attempt } from './attempt.ts'
import type { PartPlan } from './report.ts'

/** The plan of the machines, and which of them do not exist yet. */
export interface MachinesPlan {
  readonly plan: PartPlan
  readonly fresh: ReadonlySet<string>
  /** Guest agent channels that an upgrade removes at its end. */
  readonly leftOver: PartPlan['changes']
  /** Images that do not exist: a problem unless the plan downloads them. */
  readonly missingImages: PartPlan['problems']
}

/** What vm:create would do on the hosts that are reachable. */
export async function planMachines(
  described: Cluster,
  hosts: readonly Attempt<Host>[],
): Promise<MachinesPlan> {
  const [allowed, ...observations] = await Promise.all([
    attempt(() => checkHosts(described)),
    ...hosts.map(({ value: host }, index) =>
      attempt(async () => (host === undefined ? [] : [await observeHost(host, described, index)])),
    ),
  ])
  const observed = observations.flatMap(({ value }) => value ?? [])
  // A machine that was not found may be on an unreachable host: there is nothing to plan for it.
  const cluster = withPlaces(described, observed)
  const changes = planCreate(cluster, observed)
  const unfinished = createsMachines(changes) ? await findUnfinishedMachines(cluster) : undefined
  const notes = describeMachineStatus(cluster, observed).flatMap(({ machine, notes: ofMachine }) =>
    ofMachine.map((note) => `${machine}: ${note}`),
  )
  return {
    plan: partOf('vm', [...hosts, allowed, ...observations], {
      changes,
      problems: [...(unfinished ? [unfinished] : []), ...findProblems(cluster, observed)],
      notes: [...findWarnings(cluster, observed).map(({ text }) => text), ...notes],
    }),
    fresh: new Set(
      changes
        .filter(({ kind }) => kind === 'define-domain' || kind === 'create-disk')
        .map(({ target }) => target),
    ),
    leftOver: planDropChannels(cluster, observed),
    missingImages: findMissingImages(cluster, observed),
  }
}
