/** Causes that Talos tells of itself: config, clock, disk, services. */
import { hasEnded, isWell, type TalosEvidence } from '@talosmith/bootstrap'
import { readinessOf } from '@talosmith/clients/kubernetes'
import type { Cluster } from '@talosmith/core'
import { settingOf, talosctl, type, type Diagnosis } from '../diagnosis.ts'
import { offAndOn } from '../on-host.ts'
import { isReady, type View } from '../view.ts'

/** Certificates of machines are good from minutes before they are made; etcd and leases mind less. */
const clockToleranceS = 60
const fullRatio = 0.97
/** The kubelet on its way to the API; it speaks to registries and webhooks, too, with words of certificates. */
const apiRefusal = /https:\/\/[^\s"\\]+\/apis?\/.*x509: /
/** Why an image does not come, in the order in which one hides the other. */
const pullReasons: readonly (readonly [RegExp, string])[] = [
  [/no such host|server misbehaving|lookup .*: i\/o timeout/, 'a name server does not answer'],
  [/proxyconnect|407 Proxy|proxy.*refused/i, 'the proxy refuses'],
  [/x509|tls: /, 'the registry shows a certificate that is not trusted'],
  [/not found|manifest unknown|404/i, 'the registry does not have it'],
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
      `${node.name} waits for its machine config`,
      [`${node.address} answers in maintenance mode`],
      [type(cluster, 'bootstrap:configure')],
    )
  if (talos === undefined) return undefined
  const ahead = talos.clockAheadS
  if (ahead !== undefined && Math.abs(ahead) > clockToleranceS)
    return at(
      'CLOCK_SKEWED',
      `the clock of ${node.name} is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`,
      [
        `talosctl read /proc/stat, /proc/uptime: ${ahead} s`,
        `time is ${talos.timeSynced === true ? 'in sync with a time server' : 'not in sync with a time server'}`,
      ],
      [
        '# is this machine right (date -u)? Then: does the KVM host keep time (timedatectl), do the machines reach a time server (UDP 123)?',
        '# once the host is right, off and on once',
        ...(host === undefined ? [] : offAndOn(host, node.name)),
      ],
    )
  const { disk } = talos
  if (disk !== undefined && disk.sizeGb > 0 && disk.usedGb / disk.sizeGb > fullRatio)
    return at(
      'DISK_FULL',
      `the disk of ${node.name} is full`,
      [`/var: ${disk.usedGb} of ${disk.sizeGb} GB are used`],
      [
        `# set ${settingOf(node, 'DISK_GIB')} higher in the env file, then`,
        type(cluster, 'vm:create'),
        '# Talos takes the new space at its next boot',
        talosctl(cluster, node.address, 'reboot'),
      ],
    )
  return judgeServices(cluster, view, talos) ?? judgeRest(cluster, view)
}

function judgeServices(
  cluster: Cluster,
  view: View,
  { services, status }: TalosEvidence,
): Diagnosis | undefined {
  const { node } = view
  for (const service of services) {
    const { id, state, event, log } = service
    const refused =
      id === 'kubelet' && state === 'Running' && !isReady(view) && !isNodeReady(view)
        ? log.findLast((line) => apiRefusal.test(line))
        : undefined
    if (refused === undefined && isWell(service)) continue
    const evidence = [`talosctl service ${id}: ${state}: ${event}`, ...log.slice(-3)]
    const where = node.name
    // Its log tells of images, too: those of pods.
    const pull = /failed to pull|pull.*(?:failed|error)/i.test(event) ? event : undefined
    if (pull !== undefined)
      return {
        code: 'IMAGE_PULL_FAILS',
        where,
        cause: `${node.name} cannot fetch the image of ${id}: ${whyNoPull(pull)}`,
        evidence: [`talosctl service ${id}: ${pull}`],
        remedy: [
          '# look whether the machine reaches its name servers, its gateway and the registry:',
          talosctl(cluster, node.address, 'get resolvers'),
          talosctl(cluster, node.address, `image pull <image>`),
        ],
      }
    if (refused !== undefined)
      return {
        code: 'KUBELET_REFUSED',
        where,
        cause: `the kubelet of ${node.name} and the API server do not trust each other`,
        evidence: [refused],
        remedy: [
          '# the machine has another CA than the cluster: send it its config again',
          type(cluster, 'bootstrap:configure'),
          talosctl(cluster, node.address, 'service kubelet restart'),
        ],
      }
    if (hasEnded(service, status)) {
      const code = { etcd: 'ETCD_STOPPED', kubelet: 'KUBELET_STOPPED' }[id] ?? 'SERVICE_FAILED'
      return {
        code,
        where,
        cause: `${id} does not run on ${node.name}`,
        evidence,
        remedy: [talosctl(cluster, node.address, `service ${id} start`)],
      }
    }
  }
  return undefined
}

function isNodeReady({ kubernetes }: View): boolean {
  return kubernetes !== undefined && readinessOf(kubernetes)?.status === 'True'
}

/** What is wrong without anything being down yet. */
function judgeRest(cluster: Cluster, { node, talos, plan }: View): Diagnosis | undefined {
  if ((talos?.diagnostics.length ?? 0) > 0)
    return {
      code: 'TALOS_COMPLAINS',
      where: node.name,
      cause: `Talos itself finds something wrong on ${node.name}`,
      evidence: talos?.diagnostics ?? [],
      remedy: [talosctl(cluster, node.address, 'get diagnostics')],
    }
  const { INSTALL_DISK: disk } = cluster.settings
  const paths = talos?.diskPaths ?? []
  if (paths.length > 0 && !paths.includes(disk))
    return {
      code: 'INSTALL_DISK_WRONG',
      where: node.name,
      cause: `${node.name} has no disk ${disk}, which INSTALL_DISK names: Talos could not be installed anew`,
      evidence: [
        `talosctl get disks: ${paths.filter((path) => !path.startsWith('/dev/disk/')).join(', ')}`,
      ],
      remedy: [
        '# set INSTALL_DISK in the env file to the disk it has (/dev/vda), then',
        type(cluster, 'bootstrap:configure'),
      ],
    }
  if (plan?.change === undefined) return undefined
  return {
    code: 'OLD_CONFIG',
    where: node.name,
    cause: `${node.name} runs with another machine config than the settings ask for`,
    evidence: [plan.change.summary],
    remedy: [type(cluster, 'cluster:plan'), type(cluster, 'bootstrap:configure')],
  }
}

function whyNoPull(line: string): string {
  return pullReasons.find(([words]) => words.test(line))?.[1] ?? 'see what it says'
}
