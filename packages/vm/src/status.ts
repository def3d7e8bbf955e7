/** The status of the machines, for vm:status and cluster:status. */
import { renderTable, type Cluster } from '@talosmith/core'
import { diskInUse, otherDiskOf } from './disk-use.ts'
import { lostDiskProblem } from './lost-disks.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { domainOf, hostOf, clusterDomains } from './place.ts'
import { inGib } from './sizes.ts'

/** One machine in `vm:status`. */
export interface StatusRow {
  readonly machine: string
  readonly role: string
  readonly host: string
  readonly address: string
  /** libvirt's state, or `missing`. */
  readonly state: string
  readonly cpu: number
  readonly memoryMib: number
  /** The virtual size of the disk, and the space that it uses on the host, in GiB. */
  readonly diskGib: number
  readonly usedGib: number
  /** Remarks for people. */
  readonly notes: readonly string[]
}

/** The machines of the cluster with their state on the hosts; those in the settings first. */
export function describeMachineStatus(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
): StatusRow[] {
  const wanted = cluster.nodes.map((node): StatusRow => {
    const observed = hostOf(cluster, node, hosts)
    const found = observed === undefined ? undefined : domainOf(node, observed)
    const domain = found?.owner === cluster.name ? found : undefined
    const disk = observed === undefined ? undefined : diskInUse(cluster, node, observed)
    return {
      machine: node.name,
      role: node.role,
      host: observed?.host ?? '',
      address: node.address,
      state: domain?.live.state ?? 'missing',
      cpu: domain?.machine.cpu ?? node.cpu,
      memoryMib: domain?.machine.memoryMib ?? node.memoryMib,
      diskGib: inGib(disk?.qcow2?.virtualBytes),
      usedGib: inGib(disk?.actualBytes),
      notes: [
        ...(found !== undefined && domain === undefined
          ? [found.strangerBecause ?? 'a machine of this name belongs to another owner']
          : []),
        ...(domain === undefined ? [] : pendingOf(domain)),
        ...(domain === undefined || observed === undefined
          ? []
          : diskNotesOf(cluster, domain, observed)),
      ],
    }
  })
  const names = new Set(cluster.nodes.map(({ name }) => name))
  const others = hosts.flatMap((observed) =>
    clusterDomains(cluster, observed)
      .filter(({ name }) => !names.has(name))
      .map(({ name, own, machine, live }): StatusRow => {
        const disk = observed.disks.get(own?.disk ?? '')
        return {
          machine: name,
          role: machine.role,
          host: observed.host,
          address: '',
          state: live.state,
          cpu: machine.cpu,
          memoryMib: machine.memoryMib,
          diskGib: inGib(disk?.qcow2?.virtualBytes),
          usedGib: inGib(disk?.actualBytes),
          notes: ['no longer in the settings (to remove it: docs/operations.md, "Fewer machines")'],
        }
      }),
  )
  return [...wanted, ...others]
}

/** Changes that a running machine gets at its next start. */
export function pendingOf({ live, machine }: ObservedDomain): string[] {
  if (live.state !== 'running') return []
  const waiting = [
    ...(live.memoryMib !== undefined && live.memoryMib !== machine.memoryMib
      ? [`${machine.memoryMib} MiB (now ${live.memoryMib})`]
      : []),
    ...(live.cpu !== undefined && live.cpu !== machine.cpu
      ? [`${machine.cpu} CPUs (now ${live.cpu})`]
      : []),
  ]
  return waiting.length === 0 ? [] : [`at its next start: ${waiting.join(', ')}`]
}

/** What is unusual about the disk that a machine uses. */
function diskNotesOf(cluster: Cluster, domain: ObservedDomain, observed: ObservedHost): string[] {
  const lost = lostDiskProblem(cluster, [observed], domain.name)
  if (lost !== undefined) return [`${lost.code}: ${lost.message}`]
  const other = otherDiskOf(domain, observed)
  if (other === undefined) return []
  return [
    other.isOverlay
      ? `uses ${other.source}, an external snapshot of its disk`
      : `uses ${other.source} instead of the disk that was created for it`,
  ]
}

/** The rows as a table. */
export function renderMachineStatus(rows: readonly StatusRow[]): string {
  return renderTable([
    ['MACHINE', 'ROLE', 'HOST', 'ADDRESS', 'STATE', 'CPU', 'MEMORY', 'DISK', 'USED', ''],
    ...rows.map((row) => [
      row.machine,
      row.role,
      row.host,
      row.address,
      row.state,
      String(row.cpu),
      `${row.memoryMib} MiB`,
      `${row.diskGib} GiB`,
      `${row.usedGib} GiB`,
      row.notes.join('; '),
    ]),
  ])
}
