/** The status of a cluster as text. */
import { renderTable } from '@talosmith/core'
import type { AccessStatus, ClusterStatus, NodeStatus } from './report.ts'

const titles = [
  'NODE',
  'ROLE',
  'ADDRESS',
  'VM',
  'TALOS',
  'VERSION',
  'SCHEMATIC',
  'KUBERNETES',
  'READY',
  'ETCD',
  'DISK',
]

/** A table of machines, the reasons for unknown values, then the facts of the cluster. */
export function renderClusterStatus(status: ClusterStatus): string {
  const table = renderTable([titles, ...status.nodes.map(rowOf)])
  const reasons = [
    ...status.nodes.flatMap(({ name, reasons: ofNode }) =>
      ofNode.map((text) => `  ${name}: ${text}`),
    ),
    ...status.leftOver.map(
      ({ name, host, state }) => `  ${name} on ${host}: ${state}, no longer in the settings`,
    ),
    ...status.unknown.map(({ source, reason }) => `  ${source}: ${oneLine(reason)}`),
  ]
  return [table, ...(reasons.length === 0 ? [] : ['', ...reasons]), '', facts(status)].join('\n')
}

function rowOf({ name, role, address, vm, talos, kubernetes, etcd, disk }: NodeStatus): string[] {
  return [
    name,
    role,
    address,
    vm?.state ?? unknown,
    talos === null ? unknown : `${talos.stage}${talos.ready === false ? ', not ready' : ''}`,
    talos?.version ?? unknown,
    talos?.schematic?.slice(0, 12) ?? unknown,
    kubernetes?.version ?? unknown,
    kubernetes === null ? unknown : kubernetes.ready ? 'yes' : 'no',
    role === 'worker' ? '' : etcdRole(etcd),
    disk === null ? unknown : `${disk.usedGb.toFixed(1)} of ${disk.sizeGb.toFixed(1)} GB`,
  ]
}

const unknown = '-'

function etcdRole(etcd: NodeStatus['etcd']): string {
  if (etcd === null) return unknown
  if (!etcd.member) return 'not a member'
  if (etcd.leader) return 'leader'
  return etcd.learner ? 'learner' : 'member'
}

function facts({ endpoint, vip, schematic, image, access }: ClusterStatus): string {
  const state = endpoint.answers ? 'answers' : `does not answer: ${oneLine(endpoint.reason ?? '')}`
  return renderTable([
    ['endpoint', `${endpoint.url} ${state}`],
    ...(vip === null ? [] : [['VIP', `${vip.address}${describeHolder(vip)}`]]),
    ['schematic', schematic.id],
    ['image', image.url],
    ...access.map((file) => [file.name, `${file.path} ${validity(file)}`]),
  ])
}

function describeHolder({ holder, reason }: NonNullable<ClusterStatus['vip']>): string {
  return holder === null ? `: ${oneLine(reason ?? '')}` : ` on ${holder}`
}

function validity({ expires, daysLeft, fault }: AccessStatus): string {
  const until =
    expires === null || daysLeft === null
      ? ''
      : `until ${expires.slice(0, 10)} (${daysLeft} day${daysLeft === 1 ? '' : 's'})`
  return [until, fault].filter((text) => text !== null && text !== '').join(', ')
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, '; ')
}
