import type { Cluster } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'

/** One machine in `vm:status`. */
export interface StatusRow {
  readonly machine: string
  readonly role: string
  readonly host: string
  readonly address: string
  /** libvirt's word for its state, or `missing`. */
  readonly state: string
  readonly cpu: number
  readonly memoryMib: number
  /** What the machine sees, and what the disk takes on the host, in GiB. */
  readonly diskGib: number
  readonly usedGib: number
}

/** The machines of the cluster, wanted ones first, with what their hosts say of them. */
export function describeStatus(cluster: Cluster, hosts: readonly ObservedHost[]): StatusRow[] {
  return cluster.nodes.map((node) => {
    const seen = hosts.find(({ index }) => index === node.host)
    const domain = seen?.domains.find(
      ({ name, owner }) => name === node.name && owner === cluster.name,
    )
    const disk = seen?.disks.find(({ path }) => path === seen.files.disk(node))
    return {
      machine: node.name,
      role: node.role,
      host: seen?.host ?? '',
      address: node.address,
      state: domain?.state ?? 'missing',
      cpu: domain?.machine.cpu ?? 0,
      memoryMib: domain?.machine.memoryMib ?? 0,
      diskGib: gib(disk?.virtualBytes),
      usedGib: gib(disk?.actualBytes),
    }
  })
}

/** The rows as a table for people. */
export function renderStatus(rows: readonly StatusRow[]): string {
  const cells = [
    ['MACHINE', 'ROLE', 'HOST', 'ADDRESS', 'STATE', 'CPU', 'MEMORY', 'DISK', 'USED'],
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
    ]),
  ]
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  )
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function gib(bytes = 0): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10
}
