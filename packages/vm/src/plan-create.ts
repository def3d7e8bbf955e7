/** Plans that every machine exists, matches the settings, and runs. Pure. */
import { clusterOn, type Cluster, type Node } from '@talosmith/core'
import { movedFrom } from './check-addresses.ts'
import { lostDiskOf, needsDisk, otherDiskOf } from './disk-use.ts'
import { driftOf, keepChannel } from './drift.ts'
import { typeFor } from './host-facts.ts'
import { describeMachine } from './machine.ts'
import type { ObservedHost } from './observe.ts'
import { diskOf, domainOf, hostOf, pathsOf } from './place.ts'
import { planStarting } from './plan-power.ts'
import { planReservations } from './reservations.ts'
import { describeSeed, seedLabels } from './seed-iso.ts'
import { gib } from './sizes.ts'
import { changeOn, planLeftovers, type Make, type VmChange } from './vm-change.ts'

/**
 * Plans that every machine exists, matches the settings, and runs. Machines of other owners are not in the
 * plan. The domain is defined first: its metadata names the files before they are created, so that a killed
 * run leaves no file without a known owner.
 */
export function planCreate(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const planned = cluster.nodes.flatMap((node) => {
    const observed = hostOf(cluster, node, hosts)
    return observed === undefined
      ? []
      : planMachine(clusterOn(cluster, observed.index), node, observed)
  })
  const created = new Set(planned.map(({ target, kind }) => `${target} ${kind}`))
  const leftovers = planLeftovers(
    hosts,
    // Creating a file removes the incomplete one of the last attempt.
    ({ node, file }) => !created.has(`${node} create-${file}`),
  )
  return [...planned, ...leftovers]
}

function planMachine(cluster: Cluster, node: Node, observed: ObservedHost): VmChange[] {
  const { AUTOSTART: autostart, DOMAIN_TYPE: type } = cluster.settings
  const domain = domainOf(node, observed)
  if (domain !== undefined && domain.owner !== cluster.name) return []
  // check.ts rejects another address.
  if (movedFrom(cluster, node, observed) !== undefined) return []
  // check.ts refuses: an empty disk in place of a lost one would be a new machine.
  if (domain !== undefined && lostDiskOf(domain, observed) !== undefined) return []
  const change = changeOn(observed, node.name)
  const paths = pathsOf(cluster, node, observed)
  const wanted = keepChannel(
    domain?.machine,
    describeMachine(cluster, node, paths, typeFor(type, observed.kvmProblem)),
  )
  const isRunning = domain?.live.state === 'running'
  const later = isRunning ? ', from its next start' : ''
  const risk = isRunning ? 'restart' : 'none'
  const changes: VmChange[] = planReservations(cluster, node, observed)
  if (domain === undefined)
    changes.push(change('define-domain', `Define virtual machine ${node.name}`))
  else {
    const drift = driftOf(domain.machine, wanted)
    if (drift !== undefined)
      changes.push(change('update-domain', `Change ${node.name}${later}`, { ...drift, risk }))
    if (domain.clusterId === undefined)
      changes.push(
        change('note-cluster-id', `Record the ID of cluster ${cluster.name} in ${node.name}`),
      )
  }
  changes.push(...planDisk(cluster, node, observed, change))
  const marker = observed.seeds.get(paths.seed)
  const isDetected = marker !== undefined && seedLabels.includes(marker.label)
  if (!isDetected || marker.digest !== describeSeed(cluster, node).digest)
    changes.push(
      observed.seeds.has(paths.seed)
        ? change('create-seed', `Replace the seed ISO of ${node.name}${later}`, {
            path: paths.seed,
            risk,
          })
        : change('create-seed', `Create the seed ISO of ${node.name}`, { path: paths.seed }),
    )
  else if (marker.clusterId === undefined || marker.clusterId !== observed.identity.clusterId)
    changes.push(
      change(
        'create-seed',
        `Record the ID of cluster ${cluster.name} in the seed ISO of ${node.name}`,
        {
          path: paths.seed,
        },
      ),
    )
  if ((domain?.autostart ?? false) !== autostart)
    changes.push(
      change(
        'set-autostart',
        autostart ? `Enable autostart of ${node.name}` : `Disable autostart of ${node.name}`,
        { from: String(!autostart), to: String(autostart) },
      ),
    )
  if (!isRunning) changes.push(planStarting(domain, change, node))
  return changes
}

const creating: readonly VmChange['kind'][] = [
  'define-domain',
  'create-disk',
  'record-disk',
  'create-seed',
]

/** Whether a plan creates a machine, or a part of one; it does not where machines are only started. */
export function createsMachines(changes: readonly VmChange[]): boolean {
  return changes.some(({ kind }) => creating.includes(kind))
}

/** Removes the guest-agent channels, once every machine runs without the agent's extension. */
export function planDropChannels(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  if (cluster.image.hasGuestAgent) return []
  return cluster.nodes.flatMap((node) => {
    const observed = hostOf(cluster, node, hosts)
    const domain = observed && domainOf(node, observed)
    if (observed === undefined || domain?.owner !== cluster.name || !domain.machine.guestAgent)
      return []
    const summary = `Remove the guest-agent channel of ${node.name}, from its next start`
    return [changeOn(observed, node.name)('drop-channel', summary)]
  })
}

function planDisk(cluster: Cluster, node: Node, observed: ObservedHost, change: Make): VmChange[] {
  const to = `${node.diskGib} GiB`
  const path = pathsOf(cluster, node, observed).disk
  if (needsDisk(cluster, node, observed))
    return [change('create-disk', `Create the disk of ${node.name}`, { to, path })]
  const domain = domainOf(node, observed)
  const record =
    domain?.diskNote === 'none'
      ? [change('record-disk', `Record that the disk of ${node.name} was created`)]
      : []
  // check.ts refuses to shrink a disk, and to grow one below a snapshot.
  if (domain === undefined || otherDiskOf(domain, observed) !== undefined) return record
  const has = diskOf(cluster, node, observed)?.qcow2?.virtualBytes ?? 0
  if (has === 0 || has >= node.diskGib * gib) return record
  const from = `${has / gib} GiB`
  return [...record, change('grow-disk', `Grow the disk of ${node.name}`, { from, to, path })]
}
