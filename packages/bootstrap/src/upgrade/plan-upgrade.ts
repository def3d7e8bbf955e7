/** Plans an upgrade: its path, and what every machine has to do. Pure. */
import { refuseMissingVersion } from '@talosmith/clients/factory'
import type { Change, Cluster } from '@talosmith/core'
import semver from 'semver'
import { planConfigUpdate } from '../config/config-update.ts'
import type { Configs } from '../config/machine-config.ts'
import { anySchematic, isRight } from '@talosmith/clients/talos'
import { installationOf, type Installation } from './installation.ts'
import type { ObservedMachine, ObservedUpgrade } from './observe-upgrade.ts'
import { foreseeTurns } from '../restart/order.ts'
import { describeRunning } from '../restart/proof.ts'
import { removedBy, type RemovedApi } from './removed-apis.ts'
import { findPath, type PathStep } from './upgrade-path.ts'

/** A change that an upgrade makes. */
export interface UpgradeChange extends Change {
  readonly kind:
    | 'write-configs'
    | 'write-talosconfig'
    | 'backup-etcd'
    | 'upgrade-talos'
    | 'finish-upgrade'
    | 'update-config'
    | 'upgrade-kubernetes'
}

/** The path of a cluster, with a step for a change of the image alone. Throws what findPath throws. */
export function planSteps(cluster: Cluster, { machines, offered }: ObservedUpgrade): PathStep[] {
  const {
    TALOS_VERSION: talos,
    KUBERNETES_VERSION: kubernetes,
    TALOS_FACTORY_URL: factory,
  } = cluster.settings
  const steps = findPath({
    running: machines.map(({ node, facts, kubernetes: runs }) => ({
      name: node.name,
      talos: facts.talosVersion,
      kubernetes: runs,
    })),
    talos,
    kubernetes,
    offered,
    factory,
  })
  if (steps.some(({ kind }) => kind === 'talos')) return steps
  const hasOther = machines.some(
    (machine) => !isRight(machine.facts, installationOf(cluster, machine, talos)),
  )
  if (!hasOther) return steps
  if (offered !== undefined) refuseMissingVersion(talos, offered, factory)
  return [{ kind: 'talos', from: talos, to: talos }, ...steps]
}

/** The machines that must restart for a step: those with an older version; for the last step, all that differ from the target. */
export function machinesOf(
  cluster: Cluster,
  { kind, to }: PathStep,
  machines: readonly ObservedMachine[],
): readonly ObservedMachine[] {
  if (kind !== 'talos') return []
  const { TALOS_VERSION: talos } = cluster.settings
  return machines.filter((machine) =>
    to === talos
      ? !isRight(machine.facts, installationOf(cluster, machine, to))
      : semver.lt(machine.facts.talosVersion, to),
  )
}

/** A path as a list: Talos v1.12.11, Talos v1.13.9, Kubernetes v1.36.3. */
export function describePath(steps: readonly PathStep[]): string {
  return steps
    .map(({ kind, to }) => `${kind === 'talos' ? 'Talos' : 'Kubernetes'} ${to}`)
    .join(', ')
}

/** The changes of some steps, with one change for every restart. */
export function planUpgrade(
  cluster: Cluster,
  observed: ObservedUpgrade,
  steps: readonly PathStep[],
  desired: Configs | undefined,
): UpgradeChange[] {
  const now = new Map(observed.machines.map((machine) => [machine.node.name, machine]))
  const changes: UpgradeChange[] = []
  for (const step of steps)
    if (step.kind === 'kubernetes') changes.push(kubernetesChange(step, observed.removedApis))
    else
      for (const machine of foreseeOrder(cluster, observed, step, [...now.values()])) {
        const target = installationOf(cluster, machine, step.to)
        const after = { talosVersion: target.version, schematic: target.schematic }
        changes.push(talosChange(machine, target))
        now.set(machine.node.name, { ...machine, facts: { ...machine.facts, ...after } })
      }
  const restarting = new Set(changes.map(({ target }) => target))
  const others = observed.machines.filter(({ node }) => !restarting.has(node.name))
  return [
    ...(changes.length > 0 ? [backupChange] : []),
    ...others.filter(({ begun }) => begun !== undefined).map(finishChange),
    ...changes,
    ...others.filter((machine) => configOf(machine, desired) !== undefined).map(configChange),
  ]
}

function foreseeOrder(
  cluster: Cluster,
  { leader }: ObservedUpgrade,
  step: PathStep,
  machines: readonly ObservedMachine[],
): ObservedMachine[] {
  const waiting = machinesOf(cluster, step, machines)
  const names = waiting.map(({ node }) => node.name)
  const turns = foreseeTurns(cluster, names, { leader, unfinished: unfinishedOf(machines) })
  return turns.flat().flatMap(({ name }) => waiting.find(({ node }) => node.name === name) ?? [])
}

const backupChange: UpgradeChange = {
  kind: 'backup-etcd',
  target: 'etcd',
  summary: 'Back up etcd',
  risk: 'none',
}

function kubernetesChange({ from, to }: PathStep, used: readonly RemovedApi[]): UpgradeChange {
  const removed = removedBy(to, used).map(({ name }) => name)
  const summary =
    removed.length === 0
      ? 'Upgrade Kubernetes'
      : `Upgrade Kubernetes once ${removed.join(', ')} is no longer in use`
  return { kind: 'upgrade-kubernetes', target: 'kubernetes', summary, from, to, risk: 'restart' }
}

function talosChange(
  { node, facts }: ObservedMachine,
  { version, schematic, image }: Installation,
): UpgradeChange {
  return {
    kind: 'upgrade-talos',
    target: node.name,
    summary: `Upgrade Talos on ${node.name}`,
    from: describeRunning(facts),
    to:
      schematic === anySchematic
        ? `${version} (${image ?? 'no installer is known'})`
        : describeRunning({ talosVersion: version, schematic }),
    risk: 'restart',
  }
}

function finishChange({ node: { name } }: ObservedMachine): UpgradeChange {
  const summary = `Verify and uncordon ${name}, which an earlier run left unfinished`
  return { kind: 'finish-upgrade', target: name, summary, risk: 'none' }
}

/** The change of a machine's config that follows an upgrade. */
export function configChange({
  node: { name },
}: Pick<ObservedMachine, 'node'>): UpgradeChange & { readonly kind: 'update-config' } {
  const summary = `Change the machine config of ${name}`
  return { kind: 'update-config', target: name, summary, risk: 'none' }
}

/** The config that a machine needs once it runs TALOS_VERSION, with its current Kubernetes images; undefined: none. */
export function configOf(
  { node, config }: Pick<ObservedMachine, 'node' | 'config'>,
  desired: Configs | undefined,
): string | undefined {
  const text = desired?.get(node.name)
  return text === undefined
    ? undefined
    : planConfigUpdate(text, config, { movesInstaller: true }).text
}

/** Names of the machines that an earlier run left unfinished. */
export function unfinishedOf(machines: readonly ObservedMachine[]): ReadonlySet<string> {
  return new Set(machines.flatMap(({ node, begun }) => (begun === undefined ? [] : [node.name])))
}
