/** What the facts of a preflight mean, line by line. Pure. */
import { codes, contains, hostToolsMissing, type Cluster, type Problem } from '@talosmith/core'
import {
  type HostDetails,
  type HostEvidence,
  type HostWarning,
  type ObservedHost,
  type Trial,
  domainOf,
  typeFor,
} from '@talosmith/vm'
import { missing, type Check } from './check.ts'

/** Everything that was found out about one host. */
export interface SeenHost {
  readonly seen: ObservedHost
  readonly details: HostDetails
  /** Undefined: not tried. */
  readonly trial: Trial | undefined
  readonly evidence: HostEvidence | undefined
  /** What would stop vm:create there. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly HostWarning[]
  /** What the host reaches; undefined: not asked. */
  readonly outside:
    | {
        /** What the factory answered, or why it did not; undefined: the host never asks it. */
        readonly factory: { readonly status: number } | { readonly fault: string } | undefined
        /** Whether the NFS server answers; undefined: no storage is asked for. */
        readonly nfs: boolean | undefined
      }
    | undefined
}

/** Which line a problem of vm:create belongs to. */
const lineOf: Readonly<Record<string, string>> = {
  [codes.poolInactive]: 'storage pool',
  [codes.poolNotFound]: 'storage pool',
  [codes.poolNotAFolder]: 'storage pool',
  [codes.poolFull]: 'storage pool',
  [codes.hostToolsMissing]: 'programs',
  KVM_UNUSABLE: 'KVM',
  [codes.firmwareMissing]: 'UEFI firmware',
  BRIDGE_NOT_FOUND: 'network',
  NETWORK_INACTIVE: 'network',
  NETWORK_NOT_FOUND: 'network',
  ADDRESS_OUTSIDE_NETWORK: 'network',
  ADDRESS_IN_DHCP_RANGE: 'network',
}

export function judgeHost(cluster: Cluster, host: SeenHost): Check[] {
  const { seen, details, problems } = host
  const area = seen.host
  const stands = problems.map((problem) =>
    missing(area, lineOf[problem.code] ?? 'machines', problem),
  )
  const taken = new Set(stands.map(({ check }) => check))
  const line: Line = (check, says, verdict = 'ok', remedy, code) => ({
    ...{ area, check, verdict, says },
    ...(code === undefined ? {} : { code }),
    ...(remedy === undefined ? {} : { remedy }),
  })
  const free = `${(seen.poolFreeBytes / 2 ** 30).toFixed(0)} GiB free`
  const fine = [
    line('access', `as ${details.user} (${details.groups.join(', ')}); virsh answers`),
    ...judgeKvm(cluster, host, line),
    judgeLevel(cluster, host, line),
    line(
      'storage pool',
      `${cluster.settings.STORAGE_POOL}: ${seen.files.image.replace(/\/[^/]*$/, '')}, ${free}`,
    ),
    judgeNetwork(cluster, details, line),
    judgeFilter(cluster, details, line),
    line('UEFI firmware', cluster.settings.UEFI ? 'there' : 'not asked for'),
    judgePrograms(details, area, line),
    ...(host.trial === undefined ? [] : [judgeTrial(host.trial, details, line)]),
    judgeMemory(host, line),
    ...judgeAddresses(cluster, host, line),
    ...(host.outside === undefined
      ? []
      : [...judgeFactory(cluster, host, line), ...judgeNfs(cluster, host.outside.nfs, line)]),
    // What is fine about a thing that is in the way for another reason would only confuse.
  ].filter(({ check, verdict }) => verdict !== 'ok' || !taken.has(check))
  return [...fine, ...stands]
}

type Line = (
  check: string,
  says: string,
  verdict?: Check['verdict'],
  remedy?: string,
  code?: string,
) => Check

function judgeKvm({ settings }: Cluster, { seen, details }: SeenHost, line: Line): Check[] {
  if (settings.DOMAIN_TYPE === 'qemu')
    return [line('KVM', 'not asked for: machines are emulated (DOMAIN_TYPE=qemu)')]
  if (seen.kvmProblem === undefined)
    return [line('KVM', details.isNested ? 'usable, nested: somewhat slower' : 'usable')]
  // vm:create refuses, and its problem says why.
  if (settings.DOMAIN_TYPE === 'kvm') return []
  return [
    line(
      'KVM',
      `${seen.kvmProblem}: machines are emulated, ten to thirty times slower`,
      'warning',
      'enable virtualisation in the firmware (or nested virtualisation), or accept it with DOMAIN_TYPE=qemu',
    ),
  ]
}

function judgeMemory({ seen, warnings }: SeenHost, line: Line): Check {
  const short = warnings.find(({ about }) => about === 'memory')
  if (short === undefined) return line('memory', `${seen.memoryFreeMib} MiB free`)
  return line('memory', short.text, 'warning')
}

/** Models of libvirt's cpu_map that lack one of cx16, lahf_lm, popcnt, sse4.1, sse4.2, ssse3; newer ones have all. */
const oldModels =
  /^(?:486|athlon|Conroe|core2?duo|cpu64-rhel[56]|kvm(?:32|64)|n270|Opteron_G[123]|Penryn|pentium(?:|2|3|pro)|phenom|qemu(?:32|64))(?:-v\d+)?$/

function judgeLevel({ settings }: Cluster, { seen, details }: SeenHost, line: Line): Check {
  const model = settings.CPU_MODEL
  if (oldModels.test(model))
    return line(
      'processor',
      `CPU_MODEL=${model} lacks x86-64-v2, which Talos needs`,
      'missing',
      'leave CPU_MODEL out, or set a model with x86-64-v2',
      codes.cpuLevelTooLow,
    )
  // An emulated processor has what QEMU has.
  const isEmulated = typeFor(settings.DOMAIN_TYPE, seen.kvmProblem) === 'qemu'
  if (!isEmulated && details.missingCpuFlags.length > 0)
    return line(
      'processor',
      `it lacks ${details.missingCpuFlags.join(', ')} of x86-64-v2, which Talos needs`,
      'missing',
      'Talos does not run on this processor; set DOMAIN_TYPE=qemu to emulate another one',
      codes.cpuLevelTooLow,
    )
  return line('processor', 'has x86-64-v2')
}

function judgeNetwork({ settings }: Cluster, { bridge: seen }: HostDetails, line: Line): Check {
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: network, NETWORK_CIDR: cidr } = settings
  if (bridge === undefined) return line('network', `libvirt network ${network} is active`)
  if (seen === undefined) return line('network', `bridge ${bridge} is there`)
  const { isUp, addresses } = seen
  if (!isUp)
    return line(
      'network',
      `bridge ${bridge} is down: nothing gets through it`,
      'warning',
      `ip link set ${bridge} up there, and bring it up at every boot`,
    )
  const listed = addresses.join(', ')
  if (addresses.length > 0 && !addresses.some((one) => contains(cidr, one.replace(/\/.*$/, ''))))
    return line(
      'network',
      `bridge ${bridge} has ${listed}, which is not in ${cidr}`,
      'warning',
      'set NETWORK_CIDR and NETWORK_GATEWAY to the network behind the bridge, or NETWORK_BRIDGE to another one',
    )
  return line('network', `bridge ${bridge} is up${listed === '' ? '' : `, ${listed}`}`)
}

function judgeFilter({ settings }: Cluster, { bridgeFilter }: HostDetails, line: Line): Check {
  const { active, policy } = bridgeFilter
  if (
    settings.NETWORK_BRIDGE === undefined ||
    !active ||
    (policy !== undefined && policy !== 'DROP')
  )
    return line('firewall', 'lets through what crosses the bridge')
  if (policy === undefined)
    return line(
      'firewall',
      'iptables sees what crosses the bridge; whether it lets it through is not known',
      'warning',
      'look there as root: iptables -S FORWARD; -P FORWARD DROP (Docker sets it) keeps machines apart',
    )
  return line(
    'firewall',
    'iptables sees what crosses the bridge, and drops what it does not know (Docker sets this)',
    'warning',
    `iptables -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT, or sysctl net.bridge.bridge-nf-call-iptables=0`,
  )
}

function judgePrograms({ missingPrograms }: HostDetails, host: string, line: Line): Check {
  if (missingPrograms.length === 0) return line('programs', 'all there')
  const { code, message, hint } = hostToolsMissing(host, missingPrograms)
  return line('programs', message, 'missing', hint, code)
}

/** Why QEMU may not open what libvirt made; never answered with security_driver=none. */
export function judgeTrial(trial: Trial, { confinement }: HostDetails, line: Line): Check {
  const check = 'throwaway machine'
  if (trial.ok) return line(check, 'a volume and a paused machine were made, and taken away again')
  const { reason, kernelLog } = trial
  const [shown = ''] = reason.split('\n')
  const not = (says: string, remedy: string): Check =>
    line(check, `${says}: ${shown}`, 'missing', remedy)
  if (kernelLog.some((text) => /apparmor="DENIED"/.test(text)))
    return not(
      'AppArmor keeps QEMU from the pool',
      "allow the pool's folder: add '<folder>/** rwk,' to /etc/apparmor.d/local/abstractions/libvirt-qemu, then systemctl reload apparmor",
    )
  if (kernelLog.some((text) => /avc: +denied/.test(text)))
    return not(
      'SELinux keeps QEMU from the pool',
      "label the pool's folder: semanage fcontext -a -t virt_image_t '<folder>(/.*)?' && restorecon -R <folder>",
    )
  if (/authentication unavailable|polkit|access denied/i.test(reason))
    return not(
      'libvirt does not let us in',
      'join the group libvirt there (usermod -aG libvirt <user>), or connect as root',
    )
  if (/Permission denied/.test(reason))
    return not(
      'the user that QEMU runs as may not reach the pool',
      'every folder above the pool needs the x permission for others (namei -l <folder>); a pool in a home folder rarely has it',
    )
  if (/invalid|unsupported|Emulator|kvm/i.test(reason) && confinement.length === 0)
    return not('QEMU does not start', 'virsh -c qemu:///system capabilities says what it can do')
  return not(
    'a machine cannot be made',
    `journalctl -u libvirtd -n 20 there says more${confinement.length > 0 ? `; ${confinement.join(', ')} is enforced` : ''}`,
  )
}

function judgeAddresses(cluster: Cluster, { seen, evidence }: SeenHost, line: Line): Check[] {
  if (evidence === undefined) return []
  const taken = cluster.nodes.flatMap((node) => {
    const answering = evidence.machines.get(node.name)?.answering ?? []
    const own = domainOf(node, seen)?.owner === cluster.name
    const others = answering.filter((mac) => !own || mac !== node.mac)
    return others.map((mac) => `${node.address} (${node.name}) is ${mac}'s`)
  })
  const own = new Set(cluster.controlPlanes.map(({ mac }) => mac))
  for (const mac of evidence.vipAnswering.filter((one) => !own.has(one)))
    taken.push(`${cluster.vip} (CLUSTER_VIP) is ${mac}'s`)
  const addresses =
    taken.length === 0
      ? line(
          'addresses',
          evidence.machines.size === 0 ? 'every machine is there already' : 'nobody else has them',
        )
      : line(
          'addresses',
          taken.join('; '),
          'missing',
          'move CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP, or give the other machines other addresses',
          codes.addressTaken,
        )
  if (evidence.gatewayAnswers !== false) return [addresses]
  return [
    addresses,
    line(
      'gateway',
      `nobody answers for ${cluster.settings.NETWORK_GATEWAY}`,
      'warning',
      'set NETWORK_GATEWAY to the router (ip route on the host)',
      codes.gatewaySilent,
    ),
  ]
}

function judgeFactory({ settings }: Cluster, { seen, outside }: SeenHost, line: Line): Check[] {
  const answer = outside?.factory
  if (answer === undefined) return []
  const fault = 'fault' in answer ? answer.fault : `HTTP ${answer.status}`
  if ('status' in answer && answer.status >= 200 && answer.status < 300)
    return [line('Image Factory', 'reached from the host')]
  return [
    line(
      'Image Factory',
      `the host does not reach ${settings.TALOS_FACTORY_URL}: ${fault}`,
      seen.hasImage ? 'warning' : 'missing',
      'mend DNS, proxy or firewall of the host; or set IMAGE_RELAY=true, so that this machine fetches images for it',
      codes.factoryUnreachable,
    ),
  ]
}

function judgeNfs({ settings }: Cluster, answers: boolean | undefined, line: Line): Check[] {
  if (answers === undefined) return []
  if (answers) return [line('NFS server', `${settings.NFS_SERVER} answers on port 2049`)]
  return [
    line(
      'NFS server',
      `${settings.NFS_SERVER} does not answer on port 2049`,
      'missing',
      'start it, and let the machines through; or leave NFS_SERVER out',
      codes.nfsNoAnswer,
    ),
  ]
}
