/** The calls that the real talosctl makes to the machines of 1-up, each with the expected answer: the table behind RPCS.md. */

/** One call. `rpc` names its row of lab/tools/node/RPCS.md. */
export interface Call {
  readonly rpc: string
  readonly words: readonly string[]
  readonly expected: RegExp
  readonly code: number
  /** Made with a reader's access instead of an administrator's. */
  readonly isReader: boolean
  /** Never ends by itself, and is interrupted. */
  readonly isEndless: boolean
}

/** Parameters of the calls: machines' addresses, their installer image, a folder to write to. */
export interface Where {
  readonly controlPlane: string
  readonly worker: string
  readonly installer: string
  readonly folder: string
}

type Row = readonly [rpc: string, words: string, expected: RegExp, code?: number]

/** Exit code of a call that was interrupted. */
const interrupted = 124

/** Calls to a control plane. */
const onControlPlane = ({ folder, controlPlane, worker, installer }: Where): Row[] => [
  ['Version', 'version --short', /Tag: +v1\.13\.\d+\n.*SHA: +lab\n/s],
  ['ApplyConfiguration', 'patch mc --dry-run -p {"machine":{"sysctls":{"a.b":"1"}}}', /\+.*a\.b/],
  ['maintenance', 'version --insecure', /Server:\n.*Unavailable/s, 1],
  ['Bootstrap', 'bootstrap', /AlreadyExists desc = etcd data directory is not empty/, 1],
  ['Kubeconfig', 'kubeconfig -', /^kind: Config$.*client-certificate-data/ms],
  ['ServiceList', 'service', /apid +Running +OK.*etcd +Running +OK.*kubelet.*trustd/s],
  ['ServiceList', 'service etcd', /STATE +Running\n.*Health check successful/s],
  ['ServiceStop', 'service trustd stop', /"trustd" doesn't support stop operation via API/, 1],
  ['Events', 'events --tail 5', /talos\/runtime\/machine\.\w+Event/, interrupted],
  ['Dmesg', 'dmesg', /^\S+: +\w+: +\w+: \[\d{4}-\d\d-\d\dT[\d:.]+Z\]: \S/m],
  ['Logs', 'logs etcd --tail 3', /"level":"\w+"/],
  ['Logs', 'logs nothing', /log "nothing" was not registered/, 1],
  ['Logs', 'logs -k kube-system/kube-apiserver-lab-cp1:kube-apiserver --tail 1', /\w/],
  ['LogsContainers', '__complete logs ', /^etcd$.*^kubelet$/ms],
  ['Read', 'read /proc/version', /^Linux version /],
  ['Read', 'read /nonexistent', /NotFound desc = stat \/nonexistent: no such file/, 1],
  ['Read', 'read /proc', /path must be a regular file/, 1],
  ['List', 'list /', / proc$/m],
  ['List', 'list /nonexistent', /lstat \/nonexistent: no such file or directory/, 1],
  ['Copy', `copy /etc/hostname ${folder}/file`, /^$/],
  ['Copy', `copy /etc ${folder}/folder`, /^$/],
  ['Memory', 'memory', /TOTAL.*AVAILABLE\n\S+ +(?:1[5-9]|20)\d\d /s],
  ['Processes', 'processes', / kube-apiserver --/],
  ['Mounts', 'mounts', / \/var$/m],
  ['SystemStat', 'dashboard', /uptime ?\d.*PROCS ?\d+, ?CPU ?[\d.]+%/s, interrupted],
  ['Containers', 'containers -k', /kube-scheduler.*CONTAINER_RUNNING/],
  ['Stats', 'stats -k', /kube-apiserver +[1-9]\d*\.\d+ +\d+/],
  ['EtcdMemberList', 'etcd members', /[0-9a-f]{16} +lab-cp1 +https:\S+:2380 .* false/],
  ['EtcdStatus', 'etcd status', /([0-9a-f]{16}) .*\1 .* false +3\.6\.\d+/],
  ['EtcdSnapshot', `etcd snapshot ${folder}/etcd.db`, /snapshot info: hash \w+, revision \d+/],
  ['EtcdAlarmList', 'etcd alarm list', /^$/],
  ['EtcdAlarmDisarm', 'etcd alarm disarm', /^$/],
  ['EtcdDefragment', 'etcd defrag', /^$/],
  ['EtcdForfeitLeadership', 'etcd forfeit-leadership', /only one member/, 1],
  ['EtcdLeaveCluster', 'etcd leave', /failed to leave cluster/, 1],
  ['EtcdRemoveMemberByID', 'etcd remove-member 1', /NotFound desc = .*member not found/, 1],
  ['Reset', 'reset --wait=false --system-labels-to-wipe NO', /status with label "NO"/, 1],
  ['Reset', `reset --wait=false ${userDisk('/dev/no')}`, /device \/dev\/no wasn't found/, 1],
  ['Rollback', 'rollback', /no other image is installed/, 1],
  ['Upgrade', `upgrade --legacy -i ${other(installer)}`, /error validating installer image/, 1],
  ['ImageService/Pull', 'image pull registry.k8s.io/etcd:v3.6.12', /: pulled image \S+etcd:v/],
  ['ImageService/Pull', 'image pull registry.k8s.io/pause:3.10', /not found \(the lab has no/, 1],
  ['ImageService/Pull', `image pull ${other(installer)}`, /failed to pull image/, 1],
  ['ClusterService/HealthCheck', 'health --wait-timeout 90s', /all k8s nodes to report ready: OK/],
  ['DiskStats', `support -O ${folder}/support.zip`, /cluster: collect/],
  ['State/List', 'get rd', /machinestatuses\.runtime\.talos\.dev/],
  ['State/List', 'get nonsense', /NotFound desc = resource "nonsense" is not registered/, 1],
  ['State/Get', 'get machinestatus machine -o json', /"stage": "running"/],
  ['State/Watch', 'get -w machinestatus', /\+ +runtime +MachineStatus.*running +true/, interrupted],
  ['routing', `version --short -n ${worker}`, new RegExp(`NODE: +${worker}`)],
  ['routing', `service -n ${worker},${controlPlane}`, /trustd/],
  ...Object.entries(unimplemented).map(([method, words]): Row => [
    method,
    words,
    new RegExp(`Unimplemented desc = method ${method.split('/').at(-1)} not implemented`),
    1,
  ]),
]

/** Methods that the lab lacks, each with a command that calls it. */
export const unimplemented: Readonly<Record<string, string>> = {
  DiskUsage: 'usage /etc',
  EtcdDowngradeCancel: 'etcd downgrade cancel',
  EtcdDowngradeEnable: 'etcd downgrade enable v3.5.0',
  EtcdDowngradeValidate: 'etcd downgrade validate v3.5.0',
  ImageList: 'image list',
  MetaDelete: 'meta delete 10',
  MetaWrite: 'meta write 10 x',
  Netstat: 'netstat',
  PacketCapture: 'pcap --duration 1s',
  Restart: 'restart -k kube-system/kube-scheduler-lab-cp1',
  'DebugService/ContainerRun': 'debug registry.k8s.io/etcd:v3.6.12',
  'ImageService/Import': 'debug /etc/hosts',
  'ImageService/Remove': 'image remove registry.k8s.io/pause:3.10',
  'InspectService/ControllerRuntimeDependencies': 'inspect dependencies',
  'TimeService/Time': 'time',
  'TimeService/TimeCheck': 'time --check 10.213.77.1',
  'StorageService/BlockDeviceWipe': 'wipe disk vdb',
}

const onWorker = ({ controlPlane }: Where): Row[] => [
  [
    'EtcdMemberList',
    'etcd members',
    /Unimplemented desc = member list is only available on con/,
    1,
  ],
  [
    'Bootstrap',
    'bootstrap',
    /Unimplemented desc = bootstrap is only available on control plane/,
    1,
  ],
  ['Kubeconfig', 'kubeconfig -', /kubeconfig is only available on control plane nodes/, 1],
  [
    'routing',
    `version --short -n ${controlPlane}`,
    /PermissionDenied desc = no request forwardi/,
    1,
  ],
  ['ServiceRestart', 'service kubelet restart', /Service "kubelet" restarted/],
]

const asReader: Row[] = [
  ['roles', 'version --short', /Tag: +v/],
  ['roles', 'get members', /lab-w2/],
  ['roles', 'reboot --wait=false', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'read /proc/version', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'service kubelet restart', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'kubeconfig -', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'etcd snapshot /dev/null', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'get machineconfig', /PermissionDenied desc = not authorized/, 1],
  ['roles', 'get osrootsecret', /PermissionDenied desc = not authorized/, 1],
]

/** Resources that a configured control plane has, each with the expected row of talosctl's table. */
export const filled: Readonly<Record<string, RegExp>> = {
  machinestatus: /machine +\d+ +running +true/,
  machineconfig: /v1alpha1.*persistent|persistent.*v1alpha1/s,
  machinetype: /controlplane/,
  members: /lab-cp1.*lab-w1.*lab-w2/s,
  identity: /local +\d+ +\w{20}/,
  nodename: /lab-cp1/,
  nodestatus: /lab-cp1 +\d+ +true +false/,
  staticpodstatus: /kube-apiserver-lab-cp1 +\d+ +True/,
  bootstrapmanifestsconfig: /manifests/,
  addresses: /eth0\/10\.213\.77\.\d+\/24/,
  nodeaddresses: /default.*routed|routed.*default/s,
  routes: /inet4/,
  links: /eth0 .* up +true/,
  hostname: /lab-cp1/,
  resolvers: /\["\d/,
  networkstatus: /true +true +true +true/,
  extensions: /schematic +[0-9a-f]{64}/,
  services: /etcd +\d+ +true +true +false/,
  version: /Talos +v1\.13\.\d+/,
  securitystate: /securitystate +\d+ +false/,
  kernelcmdline: /talos\.platform=nocloud/,
  platformmetadata: /nocloud/,
  timestatus: /true/,
  disks: /vda/,
  systemdisk: /vda/,
  volumestatus: /EPHEMERAL.*ready.*STATE.*ready/s,
  discoveredvolumes: /vda1.*vda2.*vda3.*vda4/s,
  etcdmember: /[0-9a-f]{16}/,
  osrootsecret: /OSRootSecret +os /,
}

/** The call that generates a reader's talosconfig, which a reader's calls need. */
export function readerAccess({ folder }: Where): Row {
  return ['GenerateClientConfiguration', `config new ${folder}/reader --roles os:reader`, /^$/]
}

/** All calls that only read, or are rejected. */
export function callsOf(where: Where): Call[] {
  const { controlPlane, worker } = where
  const resources = Object.entries(filled).map(([name, expected]): Row => [
    `get ${name}`,
    `get ${name}`,
    expected,
  ])
  return [
    ...onControlPlane(where).map((row) => call(controlPlane, row)),
    ...resources.map((row) => call(controlPlane, row)),
    ...onWorker(where).map((row) => call(worker, row)),
    ...asReader.map((row) => call(controlPlane, row, true)),
  ]
}

/** A row as a call to one machine, with itself as endpoint. */
export function call(
  address: string,
  [rpc, text, expected, code = 0]: Row,
  isReader = false,
): Call {
  const words = text.split(' ')
  const target = words.includes('-n') ? [] : ['-n', address]
  return {
    rpc,
    words: ['-e', address, ...target, ...words],
    expected,
    code,
    isReader,
    isEndless: code === interrupted,
  }
}

function userDisk(path: string): string {
  return `--wipe-mode user-disks --user-disks-to-wipe ${path}`
}

/** The same image in a version that does not exist. */
function other(installer: string): string {
  return installer.replace(/:[^:/]+$/, ':v9.9.9')
}
