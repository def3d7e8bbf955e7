/** Problems of the cluster as a whole: etcd, the API servers, the VIP, access files. */
import { hasEnded, lacksCni, nodesLeftBehind } from '@talosmith/bootstrap'
import { judgeEtcd, memberOf, type EtcdProblem } from '@talosmith/clients/etcd'
import { readinessOf } from '@talosmith/clients/kubernetes'
import { codes, commandFor, type Cluster } from '@talosmith/core'
import { kubectl, talosctl, type Diagnosis } from '../diagnosis.ts'
import type { Observations } from '../gather.ts'
import { isReady, stateOf, type View } from '../view.ts'

type Judge = (cluster: Cluster, observed: Observations, views: readonly View[]) => Diagnosis[]

export const judgeCluster: Judge = (...args) =>
  [
    judgeAccess,
    judgeQuorum,
    judgeMembers,
    judgeApi,
    judgeNames,
    judgeCni,
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
          `the client certificate in ${name} has expired`,
          [`${path}: valid until ${expires}`],
          [commandFor(cluster, 'bootstrap:start')],
        )
      : [],
  )

/** Why etcd certainly does not run on a control plane: the machine is off, or etcd was stopped. */
function etcdDownBecause(view: View): string | undefined {
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
  // Without a kubeconfig the cluster was never bootstrapped: there is no quorum to lose.
  const hasStarted =
    access.ok &&
    !access.value.some(({ name, problem }) => name === 'kubeconfig' && problem === 'missing')
  const status = findings.ok ? findings.value.etcd.status : []
  const hasLeader = status.some(({ leader }) => /[^0]/.test(leader))
  if (!hasStarted || hasLeader) return []
  const stopped = views
    .filter(({ node }) => node.role === 'controlplane')
    .flatMap((view) => {
      // A machine that was never created does not count, unless a running etcd lost its quorum without it.
      const isMissed = view.host !== undefined && view.domain === undefined && status.length > 0
      const because = isMissed ? 'the machine does not exist' : etcdDownBecause(view)
      return because === undefined ? [] : [`${view.node.name}: ${because}`]
    })
  const needed = Math.floor(controlPlanes.length / 2) + 1
  const left = controlPlanes.length - stopped.length
  if (left >= needed) return []
  return one(
    'ETCD_NO_QUORUM',
    `etcd has lost its quorum: ${left} of ${controlPlanes.length} members can run, ${needed} are required`,
    stopped,
    [
      '# start the control planes named above; no data is lost as long as their disks exist',
      commandFor(cluster, 'cluster:start'),
      '# or, if their disks are lost, restore the newest backup:',
      `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')}`,
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
      `etcd was bootstrapped more than once: there are ${leaders.length} etcd clusters instead of one`,
      leaders.map(({ node, id }) => `talosctl etcd status on ${node}: member ${id} is a leader`),
      [
        '# find out which one has your data; then, on every other control plane:',
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
  // A member that is joining has no name yet, or is a learner.
  const isAboutToJoin = idsOf('missing-member').size > 0
  // One with the address of a machine of the settings is that machine, whatever it is called.
  const ours = new Set(cluster.controlPlanes.map((node) => memberOf(node, findings.value.etcd)?.id))
  const strangers = members.filter(
    ({ id }) =>
      !ours.has(id) &&
      !learners.has(id) &&
      (unknown.has(id) || (unstarted.has(id) && !isAboutToJoin)),
  )
  const alarmed = alarms.map(({ member, alarm }) => `talosctl etcd alarm list: ${member} ${alarm}`)
  return [
    ...(strangers.length === 0
      ? []
      : one(
          'ETCD_MEMBER_MISMATCH',
          'etcd has members that are not control planes of this cluster',
          strangers.map(({ id, name, addresses = [] }) =>
            ['talosctl etcd members:', id, name || '(never started)', ...addresses].join(' '),
          ),
          [
            '# only if none of these machines is still in use: removing a member also removes its vote',
            ...strangers.map(({ id }) =>
              talosctl(cluster, respondingMember(cluster, status), `etcd remove-member ${id}`),
            ),
          ],
        )),
    ...(idsOf('alarm').size === 0
      ? []
      : one('ETCD_ALARM', 'etcd has an active alarm and rejects writes', alarmed, [
          '# for NOSPACE, defragment one member after the other first',
          ...cluster.controlPlanes.map(({ address }) => talosctl(cluster, address, 'etcd defrag')),
          talosctl(cluster, cluster.controlPlanes[0]?.address ?? '', 'etcd alarm disarm'),
        ])),
  ]
}

/** The address of a control plane whose etcd answers. */
function respondingMember(
  { controlPlanes }: Cluster,
  status: readonly { readonly node: string }[],
): string {
  return status[0]?.node ?? controlPlanes[0]?.address ?? ''
}

/** Connection errors that a blocked port shows as. */
const blocked = new Set(['timeout', 'ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH'])

/** API servers that do not answer although Talos reports that the machine is ready. */
const judgeApi: Judge = (cluster, { api, apiOpens }, views) =>
  views.flatMap((view) => {
    const answer = api.ok ? api.value.apiServers.get(view.node.name) : undefined
    if (answer === undefined || answer.ok || !isReady(view)) return []
    if (answer.final === true)
      return one(
        codes.apiNotOurs,
        `the API server on ${view.node.name} does not accept the kubeconfig`,
        [answer.reason],
        [commandFor(cluster, 'bootstrap:start')],
        view.node.name,
      )
    if (view.evidence?.opensApi !== true || apiOpens.has(view.node.name)) return []
    if (!blocked.has(answer.unreachable ?? '')) return []
    return one(
      'API_PORT_BLOCKED',
      `the API server on ${view.node.name} is reachable from its KVM host but not from this machine`,
      [
        `https://${view.node.address}:6443/readyz: ${answer.reason}`,
        `the host can connect to ${view.node.address}:6443`,
      ],
      ['# allow TCP 6443 from this machine to the cluster (check firewall, VPN and routes)'],
      view.node.name,
    )
  })

/**
 * A host name that Talos makes up when neither the seed nor the config has one
 * (HostnameConfigController.getStableDefault, network/hostname_config.go). Any other name was given by a patch.
 */
const generatedName = /^talos-[0-9a-z]{3}-[0-9a-z]{3}$/

const judgeNames: Judge = (cluster, _observed, views) =>
  views.flatMap(({ node, kubernetes }) => {
    const name = kubernetes?.metadata.name ?? node.name
    if (name === node.name || !generatedName.test(name)) return []
    return one(
      'KUBELET_NAME',
      `${node.name} is registered in Kubernetes as ${name}, a name that Talos generated`,
      [`kubectl get node ${name}: ${node.address}`],
      [
        '# The machine works with this name; to change it, write',
        `# env/${cluster.file}/patches/${node.name}.yaml: {machine: {network: {hostname: ${node.name}}}}`,
        '# or from Talos 1.12 on: {apiVersion: v1alpha1, kind: HostnameConfig, auto: off, hostname: ...}; then',
        commandFor(cluster, 'bootstrap:configure'),
        kubectl(cluster, `delete node ${name}`),
      ],
      node.name,
    )
  })

const judgeCni: Judge = (cluster, { api }, views) => {
  const expected = api.ok ? api.value.expectedWorkloads : ['kube-flannel']
  const registered = views.flatMap(({ kubernetes }) => kubernetes ?? [])
  const waiting = views.flatMap(({ kubernetes }) =>
    kubernetes !== undefined && lacksCni(kubernetes, registered, expected) ? [kubernetes] : [],
  )
  if (waiting.length === 0) return []
  return one(
    'NO_CNI',
    'no CNI is installed: the machine configs leave it to you',
    waiting.map(
      (node) => `kubectl get node ${node.metadata.name}: ${readinessOf(node)?.message ?? ''}`,
    ),
    [
      `# put the manifests of your CNI into env/${cluster.file}/manifests, then`,
      commandFor(cluster, 'cluster:up'),
      `# or install it with KUBECONFIG=${cluster.generated}/kubeconfig, for example by Helm`,
    ],
  )
}

const judgeLeftBehind: Judge = (cluster, { api }) => {
  const nodes = api.ok && api.value.nodes.ok ? api.value.nodes.value : []
  const left = nodesLeftBehind(cluster, nodes)
  if (left.length === 0) return []
  return one(
    'NODE_LEFT_BEHIND',
    'Kubernetes lists nodes that are not Ready and not in the settings',
    left.map((node) => {
      const { message = 'no status reported' } = readinessOf(node) ?? {}
      return `kubectl get node ${node.metadata.name}: ${message}`
    }),
    [
      '# if the machine is gone, delete the node:',
      ...left.map(({ metadata }) => kubectl(cluster, `delete node ${metadata.name}`)),
      '# otherwise start the machine, or add it to the settings again',
    ],
  )
}

const judgeVip: Judge = ({ vip, ...cluster }, { findings }, views) => {
  if (vip === undefined) return []
  const controlPlanes = views.filter(({ node }) => node.role === 'controlplane')
  const addresses = controlPlanes.map(({ talos }) => talos?.addresses ?? [])
  if (addresses.some((own) => own.length === 0 || own.includes(vip))) return []
  // Control planes elect the holder through etcd, and need some time after a boot.
  const leads = findings.ok && findings.value.etcd.status.some(({ id, leader }) => id === leader)
  if (!leads || !controlPlanes.every(isReady)) return []
  return one(
    'VIP_UNHELD',
    `no control plane holds the VIP ${vip}`,
    controlPlanes.map(
      ({ node }) => `talosctl get addresses on ${node.name}: ${vip} is not among them`,
    ),
    [
      '# the VIP must be in the machine configs of the control planes',
      commandFor(cluster, 'bootstrap:configure'),
    ],
  )
}

/** Image pulls of pods in kube-system; those of Talos' own services are diagnosed there. */
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
      `the pod ${namespace}/${name} cannot pull ${stuck.image}`,
      [`${reason}: ${message}`],
      [kubectl(cluster, `-n ${namespace} describe pod ${name}`)],
      spec.nodeName,
    )
  })
}
