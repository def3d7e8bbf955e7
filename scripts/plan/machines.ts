import type { Cluster, Host } from '@talosmith/core'
import {
  checkHosts,
  describeMachineStatus,
  findMissingImages,
  findProblems,
  findWarnings,
  observeHost,
  planCreate,
  planDropChannels,
} from '@talosmith/vm'
import { attempt, partOf, type Attempt } from './attempt.ts'
import type { PartPlan } from './report.ts'

/** The plan of the machines, and which of them are yet to be made. */
export interface MachinesPlan {
  readonly plan: PartPlan
  readonly fresh: ReadonlySet<string>
  /** Guest-agent channels that an upgrade takes away at its end. */
  readonly leftOver: PartPlan['changes']
  /** Images that are not there, for when nobody plans to fetch them. */
  readonly missingImages: PartPlan['problems']
}

/** What vm:create would do on the hosts that could be reached. */
export async function planMachines(
  cluster: Cluster,
  hosts: readonly Attempt<Host>[],
): Promise<MachinesPlan> {
  const [made, ...looks] = await Promise.all([
    attempt(() => checkHosts(cluster)),
    ...hosts.map(({ value: host }, index) =>
      attempt(async () => (host === undefined ? [] : [await observeHost(host, cluster, index)])),
    ),
  ])
  const seen = looks.flatMap(({ value }) => value ?? [])
  const isWhole = seen.length === hosts.length
  // On a host that was not seen there may be any machine: what is missing elsewhere is not known.
  const found = new Set(seen.flatMap(({ domains }) => domains.map(({ name }) => name)))
  const changes = planCreate(cluster, seen).filter(({ target }) => isWhole || found.has(target))
  const notes = describeMachineStatus(cluster, seen).flatMap(({ machine, notes: said }) =>
    said.map((note) => `${machine}: ${note}`),
  )
  return {
    plan: partOf('vm', [...hosts, made, ...looks], {
      changes,
      problems: findProblems(cluster, seen),
      notes: [...findWarnings(cluster, seen).map(({ text }) => text), ...notes],
    }),
    fresh: new Set(
      changes
        .filter(({ kind }) => kind === 'define-domain' || kind === 'create-disk')
        .map(({ target }) => target),
    ),
    leftOver: planDropChannels(cluster, seen),
    missingImages: findMissingImages(cluster, seen),
  }
}
