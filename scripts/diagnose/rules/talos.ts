/** Problems that Talos reports: config, clock, disk, services. */
import { hasEnded, isWell, type TalosEvidence } from '@talosmith/bootstrap'
import { isNodeReady } from '@talosmith/clients/kubernetes'
import { commandFor, type Cluster } from '@talosmith/core'
import { settingOf, talosctl, type Diagnosis } from '../diagnosis.ts'
import { offAndOn } from '../on-host.ts'
import { isReady, type View } from '../view.ts'

/** The validity of machine certificates starts minutes before they are issued; etcd and leases tolerate more. */
const clockToleranceS = 60
const fullRatio = 0.97
/** A certificate error of the kubelet's connection to the API server, not to a registry or webhook. */
const apiRefusal = /https:\/\/[^\s"\\]+\/apis?\/.*x509: /
/** Why an image pull fails; the first match counts. */
const pullReasons: readonly (readonly [RegExp, string])[] = [
  [
    /no such host|server misbehaving|lookup .*: i\/o timeout/,
    'the name of the registry cannot be resolved',
  ],
  [/proxyconnect|407 Proxy|proxy.*refused/i, 'the proxy refuses the connection'],
  [/x509|tls: /, 'the certificate of the registry is not trusted'],
  [/not found|manifest unknown|404/i, 'the registry does not have the image'],
  [/refused|timeout|unreachable|no route|EOF/i, 'the registry does not answer'],
]

export function judgeTalos(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, probe, talos } = view
  const at = (code: string, cause: string, evidence: string[], remedy: string[]): Diagnosis => ({
    ...{ code, where: node.name, cause, evidence, remedy },
  })
  if (probe?.kind === 'maintenance')
    return at(
      'NO_CONFIG',
      `${node.name} is in maintenance mode: it has no machine config yet`,
      [`the Talos API at ${node.address} is in maintenance mode`],
      [commandFor(cluster, 'bootstrap:configure')],
    )
  if (talos === undefined) return undefined
  const failed = judgeVolumes(cluster, view, talos)
  if (failed !== undefined) return failed
  const ahead = talos.clockAheadS
  if (ahead !== undefined && Math.abs(ahead) > clockToleranceS)
    return at(
      'CLOCK_SKEWED',
      `the clock of ${node.name} is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} the clock of this machine`,
      [
        `talosctl read /proc/stat, /proc/uptime: ${ahead} s off`,
        `talosctl get timestatus: ${talos.timeSynced === true ? 'in sync' : 'not in sync'} with a time server`,
      ],
      [
        '# check the clocks of this machine (date -u) and of the KVM host (timedatectl), and that machines can reach a time server (UDP 123)',
        '# once they are right, shut down and start the machine',
        ...(host === undefined ? [] : offAndOn(host, node.name)),
      ],
    )
  const { disk } = talos
  if (disk !== undefined && disk.sizeGb > 0 && disk.usedGb / disk.sizeGb > fullRatio)
    return at(
      'DISK_FULL',
      `the disk of ${node.name} is nearly full`,
      [`/var: ${disk.usedGb} of ${disk.sizeGb} GB used`],
      [
        `# raise ${settingOf(node, 'DISK_GIB')} in the env file, then`,
        commandFor(cluster, 'vm:create'),
        '# Talos grows its file system at the next boot',
        talosctl(cluster, node.address, 'reboot'),
      ],
    )
  return judgeServices(cluster, view, talos) ?? judgeRest(cluster, view)
}

/** Without its volumes a machine does not boot; without STATE it has not even saved its config. */
function judgeVolumes(
  cluster: Cluster,
  { node, host }: View,
  { failedVolumes = [] }: TalosEvidence,
): Diagnosis | undefined {
  const [volume] = failedVolumes
  if (volume === undefined) return undefined
  const isState = failedVolumes.some(({ id }) => id === 'STATE')
  const restart = host === undefined ? [] : offAndOn(host, node.name)
  const configure = commandFor(cluster, 'bootstrap:configure')
  return {
    code: 'VOLUME_FAILED',
    where: node.name,
    cause: isState
      ? `${node.name} has no volume STATE, so it runs its machine config from memory and loses it with a restart`
      : `the volume ${volume.id} of ${node.name} failed`,
    evidence: failedVolumes.map(
      ({ id, error }) => `talosctl get volumestatus ${id}: failed${error ? `: ${error}` : ''}`,
    ),
    remedy: [
      talosctl(cluster, node.address, 'get discoveredvolumes'),
      `# correct the patch of this volume, or raise ${settingOf(node, 'DISK_GIB')} in the env file, then`,
      commandFor(cluster, 'vm:create'),
      // Without STATE the machine waits for its config again after a restart.
      ...(isState ? [...restart, configure] : [configure, ...restart]),
    ],
  }
}

function judgeServices(
  cluster: Cluster,
  view: View,
  { services, status, pulls }: TalosEvidence,
): Diagnosis | undefined {
  const { node, kubernetes } = view
  const isNode = kubernetes !== undefined && isNodeReady(kubernetes)
  for (const service of services) {
    const { id, state, event, log } = service
    const refused =
      id === 'kubelet' && state === 'Running' && !isReady(view) && !isNode
        ? log.findLast((line) => apiRefusal.test(line))
        : undefined
    if (refused === undefined && isWell(service)) continue
    const evidence = [`talosctl service ${id}: ${state}: ${event}`, ...log.slice(-3)]
    const where = node.name
    // Not its own log: that also contains image pulls of pods.
    const inEvent = /failed to pull|pull.*(?:failed|error)/i.test(event)
    const pull = inEvent ? `talosctl service ${id}: ${event}` : pullOf(service, pulls)
    if (pull !== undefined)
      return {
        code: 'IMAGE_PULL_FAILS',
        where,
        cause: `${node.name} cannot pull the image of ${id}: ${pullFailure(pull)}`,
        evidence: [`talosctl service ${id}: ${state}: ${event}`, pull],
        remedy: [
          '# check that the machine can reach its name servers, its gateway and the registry:',
          talosctl(cluster, node.address, 'get resolvers'),
          talosctl(cluster, node.address, `image pull <image>`),
        ],
      }
    if (refused !== undefined)
      return {
        code: 'KUBELET_REFUSED',
        where,
        cause: `the kubelet on ${node.name} cannot verify the certificate of the API server`,
        evidence: [refused],
        remedy: [
          '# the machine config has another CA than the cluster: apply the right one',
          commandFor(cluster, 'bootstrap:configure'),
          talosctl(cluster, node.address, 'service kubelet restart'),
        ],
      }
    if (hasEnded(service, status)) {
      const code = { etcd: 'ETCD_STOPPED', kubelet: 'KUBELET_STOPPED' }[id] ?? 'SERVICE_FAILED'
      return {
        code,
        where,
        cause: `${id} is not running on ${node.name}`,
        evidence,
        remedy: restartService(cluster, view, id),
      }
    }
  }
  return undefined
}

/**
 * How to start a service that has ended. The API starts the kubelet and extensions only (APIStart in
 * internal/app/machined/pkg/system/system.go: `service "etcd" doesn't support start operation via API`); the rest
 * starts when the machine boots.
 */
function restartService(cluster: Cluster, { node }: View, id: string): string[] {
  if (id === 'kubelet' || id.startsWith('ext-'))
    return [talosctl(cluster, node.address, `service ${id} start`)]
  return [
    `# ${id} cannot be started through the API: remove the cause that its log shows, then restart the machine;`,
    '# one control plane at a time: wait until it is healthy again before the next one',
    talosctl(cluster, node.address, 'reboot'),
  ]
}

/** The failed pull of a service's image: Talos retries it, and the service stays "Preparing" without a reason. */
function pullOf(
  { id, state }: TalosEvidence['services'][number],
  pulls: readonly string[] = [],
): string | undefined {
  return state === 'Preparing'
    ? pulls.findLast((line) => new RegExp(`/${id}[:@"]`).test(line))
    : undefined
}

/** Problems that have not broken anything yet. */
function judgeRest(cluster: Cluster, { node, talos, plan }: View): Diagnosis | undefined {
  if ((talos?.diagnostics.length ?? 0) > 0)
    return {
      code: 'TALOS_COMPLAINS',
      where: node.name,
      cause: `Talos reports diagnostic warnings on ${node.name}`,
      evidence: talos?.diagnostics ?? [],
      remedy: [talosctl(cluster, node.address, 'get diagnostics')],
    }
  const { INSTALL_DISK: disk } = cluster.settings
  const paths = talos?.diskPaths ?? []
  // Before 1.10, Talos reports no links of its disks (pkg/machinery/resources/block/disk.go, DiskSpec).
  const isUnknown =
    disk.startsWith('/dev/disk/') && !paths.some((path) => path.startsWith('/dev/disk/'))
  if (paths.length > 0 && !isUnknown && !paths.includes(disk))
    return {
      code: 'INSTALL_DISK_WRONG',
      where: node.name,
      cause: `${node.name} has no disk ${disk} (INSTALL_DISK), so Talos could not be reinstalled`,
      evidence: [
        `talosctl get disks: ${paths.filter((path) => !path.startsWith('/dev/disk/')).join(', ')}`,
      ],
      remedy: [
        '# set INSTALL_DISK in the env file to a disk of the machine (/dev/vda), then',
        commandFor(cluster, 'bootstrap:configure'),
      ],
    }
  if (plan?.change === undefined) return undefined
  return {
    code: 'OLD_CONFIG',
    where: node.name,
    cause: `the machine config of ${node.name} does not match the settings`,
    evidence: [plan.change.summary],
    remedy: [commandFor(cluster, 'cluster:plan'), commandFor(cluster, 'bootstrap:configure')],
  }
}

function pullFailure(line: string): string {
  return pullReasons.find(([pattern]) => pattern.test(line))?.[1] ?? 'see the evidence'
}
