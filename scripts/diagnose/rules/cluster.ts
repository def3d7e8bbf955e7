/** Causes that no machine has by itself: etcd as a whole, the API, the shared address, our own access. */
import { hasEnded, nodesLeftBehind } from '@talosmith/bootstrap'
import { judgeEtcd, type EtcdProblem } from '@talosmith/clients/etcd'
import { readinessOf } from '@talosmith/clients/kubernetes'
import type { Cluster } from '@talosmith/core'
import { kubectl, talosctl, type, type Diagnosis } from '../diagnosis.ts'
import type { Seen } from '../gather.ts'
import { isReady, stateOf, type View } from '../view.ts'

type Judge = (cluster: Cluster, seen: Seen, views: readonly View[]) => Diagnosis[]

export const judgeCluster: Judge = (...args) =>
  [
    judgeAccess,
    judgeQuorum,
    judgeMembers,
    judgeApi,
    judgeNames,
    judgeLeftBehind,
    judgeVip,
    judgeImages,
  ].flatMap((judge) => judge(...args))

const one = (
  code: string,
  cause: string,
  evidence: readonly string[],
  remedy: readonly string[],
  where?: string,
): Diagnosis[] => [{ code, where, cause, evidence, remedy }]

const judgeAccess: Judge = (cluster, { access }) =>
  (access.ok ? access.value : []).flatMap(({ name, path, expires }) =>
    expires !== undefined && Date.parse(expires) < Date.now()
      ? one(
          'ACCESS_EXPIRED',
          `the certificate in the ${name} has expired`,
          [`${path}: good until ${expires}`],
          [type(cluster, 'bootstrap:start')],
        )
      : [],
  )

/** Why etcd certainly does not run on a control plane: it is off, or etcd was ended there. */
function awayBecause(view: View): string | undefined {
  const { domain, talos } = view
  const etcd = talos?.services.find(({ id }) => id === 'etcd')
  if (hasEnded(etcd, talos?.status)) return `etcd is ${etcd?.state}`
  const state = domain === undefined ? 'running' : (stateOf(view) ?? 'running')
  return /^(?:running|idle|in shutdown|no state)$/.test(state)
    ? undefined
    : `the machine is ${state}`
}

const judgeQuorum: Judge = (cluster, { access, findings }, views) => {
  const { controlPlanes } = cluster
  // Before its start there is no etcd that could have lost anything.
  const hasStarted =
    access.ok &&
    !access.value.some(({ name, problem }) => name === 'kubeconfig' && problem === 'missing')
  const status = findings.ok ? findings.value.etcd.status : []
  const leads = status.some(({ leader }) => /[^0]/.test(leader))
  if (!hasStarted || leads) return []
  const away = views
    .filter(({ node }) => node.role === 'controlplane')
    .flatMap((view) => {
      // One that was never made is no loss, unless an etcd that runs misses it.
      const isMissed = view.host !== undefined && view.domain === undefined && status.length > 0
      const because = isMissed ? 'there is no such machine' : awayBecause(view)
      return because === undefined ? [] : [`${view.node.name}: ${because}`]
    })
  const needed = Math.floor(controlPlanes.length / 2) + 1
  const left = controlPlanes.length - away.length
  if (left >= needed) return []
  return one(
    'ETCD_NO_QUORUM',
    `etcd has lost its quorum: ${left} of ${controlPlanes.length} members can run, and ${needed} are needed`,
    away,
    [
      '# bring back the control planes named above; nothing is lost as long as their disks are',
      type(cluster, 'cluster:start'),
      '# disks lost? Then from the newest snapshot:',
      `CONFIRM=${cluster.name} ${type(cluster, 'cluster:restore')}`,
    ],
  )
}

const judgeMembers: Judge = (cluster, { findings }) => {
  if (!findings.ok) return []
  const { members, status, alarms } = findings.value.etcd
  const problems = judgeEtcd(cluster, findings.value.etcd)
  const idsOf = (kind: EtcdProblem['kind']): ReadonlySet<string | undefined> =>
    new Set(problems.filter((problem) => problem.kind === kind).map(({ member }) => member))
  if (idsOf('several-clusters').size > 0) {
    const leaders = status.filter(({ id, leader }) => id === leader)
    return one(
      'ETCD_BOOTSTRAPPED_TWICE',
      `there are ${leaders.length} etcd clusters where there should be one: it was bootstrapped more than once`,
      leaders.map(({ node, id }) => `talosctl etcd status on ${node}: ${id} leads itself`),
      [
        '# which of them has your data? On every other control plane:',
        talosctl(
          cluster,
          '<address>',
          'reset --system-labels-to-wipe EPHEMERAL --reboot --graceful=false',
        ),
      ],
    )
  }
  const [unknown, unstarted, learners] = [
    idsOf('unknown-member'),
    idsOf('never-started'),
    idsOf('learner'),
  ]
  // One that is about to join has no name yet, or still learns.
  const isAboutToJoin = idsOf('missing-member').size > 0
  const strangers = members.filter(
    ({ id }) => !learners.has(id) && (unknown.has(id) || (unstarted.has(id) && !isAboutToJoin)),
  )
  const alarmed = alarms.map(({ member, alarm }) => `talosctl etcd alarm list: ${member} ${alarm}`)
  return [
    ...(strangers.length === 0
      ? []
      : one(
          'ETCD_MEMBER_MISMATCH',
          'etcd has members that are no control planes of the settings',
          strangers.map(
            ({ id, name }) => `talosctl etcd members: ${id} ${name || '(never started)'}`,
          ),
          strangers.map(({ id }) =>
            talosctl(cluster, cluster.controlPlanes[0]?.address ?? '', `etcd remove-member ${id}`),
          ),
        )),
    ...(idsOf('alarm').size === 0
      ? []
      : one('ETCD_ALARM', 'etcd has raised an alarm and takes no writes', alarmed, [
          '# NOSPACE: make room first, member by member',
          ...cluster.controlPlanes.map(({ address }) => talosctl(cluster, address, 'etcd defrag')),
          talosctl(cluster, cluster.controlPlanes[0]?.address ?? '', 'etcd alarm disarm'),
        ])),
  ]
}

/** Talos says that all is well, and yet the API server does not answer us: something is in between. */
const judgeApi: Judge = (cluster, { api, apiOpens }, views) =>
  views.flatMap((view) => {
    const answer = api.ok ? api.value.apiServers.get(view.node.name) : undefined
    if (answer === undefined || answer.ok || !isReady(view)) return []
    if (answer.final === true)
      return one(
        'API_NOT_OURS',
        `the API server of ${view.node.name} does not take our kubeconfig`,
        [answer.reason],
        [type(cluster, 'bootstrap:start')],
        view.node.name,
      )
    if (view.evidence?.opensApi !== true || apiOpens.has(view.node.name)) return []
    if (!/no answer|refused|EHOSTUNREACH|reset/i.test(answer.reason)) return []
    return one(
      'API_PORT_BLOCKED',
      `this machine does not reach the API server of ${view.node.name}, its KVM host does`,
      [
        `https://${view.node.address}:6443/readyz: ${answer.reason}`,
        `the host opens ${view.node.address}:6443`,
      ],
      ['# let TCP 6443 through between here and the machines (firewall, VPN, routes)'],
      view.node.name,
    )
  })

const judgeNames: Judge = (cluster, { api }, views) => {
  const nodes = api.ok && api.value.nodes.ok ? api.value.nodes.value : []
  return nodes.flatMap(({ metadata: { name }, status }) => {
    const addresses = (status?.addresses ?? []).filter(({ type: kind }) => kind === 'InternalIP')
    const view = views.find(({ node }) => addresses.some(({ address }) => address === node.address))
    if (view === undefined || view.node.name === name || view.kubernetes !== undefined) return []
    return one(
      'KUBELET_NAME',
      `${view.node.name} registered as ${name}`,
      [`kubectl get node ${name}: ${view.node.address}`],
      [
        '# Talos takes the name from the seed when it boots',
        type(cluster, 'vm:create'),
        talosctl(cluster, view.node.address, 'reboot'),
        kubectl(cluster, `delete node ${name}`),
      ],
      view.node.name,
    )
  })
}

const judgeLeftBehind: Judge = (cluster, { api }) => {
  const nodes = api.ok && api.value.nodes.ok ? api.value.nodes.value : []
  const left = nodesLeftBehind(cluster, nodes)
  if (left.length === 0) return []
  return one(
    'NODE_LEFT_BEHIND',
    'Kubernetes has nodes that are not Ready and that the settings do not have',
    left.map((node) => {
      const { message = 'it has not said how it is' } = readinessOf(node) ?? {}
      return `kubectl get node ${node.metadata.name}: ${message}`
    }),
    [
      '# gone for good?',
      ...left.map(({ metadata }) => kubectl(cluster, `delete node ${metadata.name}`)),
      '# otherwise switch its machine on, or ask for it in the settings again',
    ],
  )
}

const judgeVip: Judge = ({ vip, ...cluster }, { findings }, views) => {
  if (vip === undefined) return []
  const controlPlanes = views.filter(({ node }) => node.role === 'controlplane')
  const addresses = controlPlanes.map(({ talos }) => talos?.addresses ?? [])
  if (addresses.some((own) => own.length === 0 || own.includes(vip))) return []
  // While etcd has no leader nobody may take it; and one that boots has not had the time.
  const leads = findings.ok && findings.value.etcd.status.some(({ id, leader }) => id === leader)
  if (!leads || !controlPlanes.every(isReady)) return []
  return one(
    'VIP_UNHELD',
    `no control plane has the shared address ${vip}`,
    controlPlanes.map(({ node }) => `talosctl get addresses on ${node.name}: not among them`),
    ['# the machine configs have to name it', type(cluster, 'bootstrap:configure')],
  )
}

/** Pods of kube-system: what Talos itself fetches is told by its services. */
const judgeImages: Judge = (cluster, { api }) => {
  const pods = api.ok && api.value.pods.ok ? api.value.pods.value : []
  return pods.flatMap(({ metadata: { name, namespace }, spec, status }) => {
    const stuck = (status?.containerStatuses ?? []).find(({ state }) =>
      /^(?:ErrImagePull|ImagePullBackOff|InvalidImageName)$/.test(state?.waiting?.reason ?? ''),
    )
    if (namespace !== 'kube-system' || stuck === undefined) return []
    const { reason = '', message = '' } = stuck.state?.waiting ?? {}
    return one(
      'POD_IMAGE_PULL_FAILS',
      `${namespace}/${name} cannot fetch ${stuck.image}`,
      [`${reason}: ${message}`],
      [kubectl(cluster, `-n ${namespace} describe pod ${name}`)],
      spec.nodeName,
    )
  })
}
