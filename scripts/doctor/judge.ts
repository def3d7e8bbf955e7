/** Judges the facts about a host: one check per requirement. Pure. */
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
import { failed, type Check } from './check.ts'

/** Everything that was observed about one host. */
export interface CheckedHost {
  readonly observed: ObservedHost
  readonly details: HostDetails
  /** The attempt to create a test machine; undefined: not tried. */
  readonly trial: Trial | undefined
  readonly evidence: HostEvidence | undefined
  /** What would stop vm:create on it. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly HostWarning[]
  /** What the host can reach; undefined: not tried. */
  readonly outside:
    | {
        /** The factory's answer, or why there is none; undefined: the host does not download from it. */
        readonly factory: { readonly status: number } | { readonly reason: string } | undefined
        /** Whether the NFS server answers; undefined: none is configured. */
        readonly nfs: boolean | undefined
      }
    | undefined
}

/** The check that a problem of vm:create belongs to. */
const checkOf: Readonly<Record<string, string>> = {
  [codes.poolInactive]: 'storage pool',
  [codes.poolNotFound]: 'storage pool',
  [codes.poolNotAFolder]: 'storage pool',
  [codes.poolFull]: 'storage pool',
  POOL_EMPTY: 'storage pool',
  [codes.hostToolsMissing]: 'programs',
  KVM_UNUSABLE: 'KVM',
  [codes.firmwareMissing]: 'UEFI firmware',
  BRIDGE_NOT_FOUND: 'network',
  NETWORK_INACTIVE: 'network',
  NETWORK_NOT_FOUND: 'network',
  ADDRESS_OUTSIDE_NETWORK: 'network',
  ADDRESS_IN_DHCP_RANGE: 'network',
}

export function judgeHost(cluster: Cluster, host: CheckedHost): Check[] {
  const { observed, details, problems } = host
  const area = observed.host
  const failures = problems.map((problem) =>
    failed(area, checkOf[problem.code] ?? 'machines', problem),
  )
  const failedChecks = new Set(failures.map(({ check }) => check))
  const line: Line = (check, detail, verdict = 'ok', remedy, code) => ({
    ...{ area, check, verdict, detail },
    ...(code === undefined ? {} : { code }),
    ...(remedy === undefined ? {} : { remedy }),
  })
  const free = `${(observed.poolFreeBytes / 2 ** 30).toFixed(0)} GiB free`
  const rest = [
    line(
      'access',
      `connected as ${details.user} (groups: ${details.groups.join(', ')}); virsh works`,
    ),
    ...judgeKvm(cluster, host, line),
    judgeLevel(cluster, host, line),
    line(
      'storage pool',
      `${cluster.settings.STORAGE_POOL}: ${observed.files.image.replace(/\/[^/]*$/, '')}, ${free}`,
    ),
    judgeNetwork(cluster, details, line),
    judgeFilter(cluster, details, line),
    line('UEFI firmware', cluster.settings.UEFI ? 'installed' : 'not needed'),
    judgePrograms(details, area, line),
    ...(host.trial === undefined ? [] : [judgeTrial(host.trial, details, line)]),
    judgeMemory(host, line),
    ...judgeAddresses(cluster, host, line),
    ...(host.outside === undefined
      ? []
      : [...judgeFactory(cluster, host, line), ...judgeNfs(cluster, host.outside.nfs, line)]),
    // An `ok` beside a failure of the same check would only confuse.
  ].filter(({ check, verdict }) => verdict !== 'ok' || !failedChecks.has(check))
  return [...rest, ...failures]
}

type Line = (
  check: string,
  detail: string,
  verdict?: Check['verdict'],
  remedy?: string,
  code?: string,
) => Check

function judgeKvm({ settings }: Cluster, { observed, details }: CheckedHost, line: Line): Check[] {
  if (settings.DOMAIN_TYPE === 'qemu')
    return [line('KVM', 'not needed: machines are emulated (DOMAIN_TYPE=qemu)')]
  if (observed.kvmProblem === undefined)
    return [line('KVM', details.isNested ? 'usable (nested, slower)' : 'usable')]
  // vm:create fails: it is among the problems of the host.
  if (settings.DOMAIN_TYPE === 'kvm') return []
  return [
    line(
      'KVM',
      `${observed.kvmProblem}: machines are emulated, 10 to 30 times slower`,
      'warning',
      'enable virtualization (VT-x, AMD-V) in the firmware, or nested virtualization; or accept emulation with DOMAIN_TYPE=qemu',
    ),
  ]
}

function judgeMemory({ observed, warnings }: CheckedHost, line: Line): Check {
  const short = warnings.find(({ about }) => about === 'memory')
  if (short === undefined) return line('memory', `${observed.memoryFreeMib} MiB free`)
  return line('memory', short.text, 'warning')
}

/** Models of libvirt's cpu_map that lack one of cx16, lahf_lm, popcnt, sse4.1, sse4.2, ssse3; newer ones have all. */
const oldModels =
  /^(?:486|athlon|Conroe|core2?duo|cpu64-rhel[56]|kvm(?:32|64)|n270|Opteron_G[123]|Penryn|pentium(?:|2|3|pro)|phenom|qemu(?:32|64))(?:-v\d+)?$/

function judgeLevel({ settings }: Cluster, { observed, details }: CheckedHost, line: Line): Check {
  const model = settings.CPU_MODEL
  if (oldModels.test(model))
    return line(
      'processor',
      `CPU_MODEL=${model} lacks x86-64-v2, which Talos requires`,
      'fail',
      'remove CPU_MODEL, or set a model that has x86-64-v2',
      codes.cpuLevelTooLow,
    )
  // An emulated processor has every feature of QEMU's.
  const isEmulated = typeFor(settings.DOMAIN_TYPE, observed.kvmProblem) === 'qemu'
  if (!isEmulated && details.missingCpuFlags.length > 0)
    return line(
      'processor',
      `lacks ${details.missingCpuFlags.join(', ')} (x86-64-v2), which Talos requires`,
      'fail',
      'Talos does not run on this processor; set DOMAIN_TYPE=qemu to emulate another one',
      codes.cpuLevelTooLow,
    )
  return line('processor', 'has x86-64-v2')
}

function judgeNetwork({ settings }: Cluster, { bridge: observed }: HostDetails, line: Line): Check {
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: network, NETWORK_CIDR: cidr } = settings
  if (bridge === undefined) return line('network', `libvirt network ${network} is active`)
  if (observed === undefined) return line('network', `bridge ${bridge} exists`)
  const { isUp, addresses } = observed
  if (!isUp)
    return line(
      'network',
      `bridge ${bridge} is down`,
      'warning',
      `run ip link set ${bridge} up on the host, and configure it to come up at boot`,
    )
  const listed = addresses.join(', ')
  if (addresses.length > 0 && !addresses.some((one) => contains(cidr, one.replace(/\/.*$/, ''))))
    return line(
      'network',
      `bridge ${bridge} has ${listed}, which is not in ${cidr}`,
      'warning',
      'set NETWORK_CIDR and NETWORK_GATEWAY to the network of the bridge, or NETWORK_BRIDGE to another bridge',
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
    return line('firewall', 'does not drop bridged traffic')
  if (policy === undefined)
    return line(
      'firewall',
      'iptables filters bridged traffic, and its FORWARD policy could not be read',
      'warning',
      'run iptables -S FORWARD as root on the host: with -P FORWARD DROP (set by Docker) machines cannot reach each other',
    )
  return line(
    'firewall',
    'iptables drops bridged traffic: its FORWARD policy is DROP (set by Docker)',
    'warning',
    'iptables -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT, or sysctl -w net.bridge.bridge-nf-call-iptables=0',
  )
}

function judgePrograms({ missingPrograms }: HostDetails, host: string, line: Line): Check {
  if (missingPrograms.length === 0) return line('programs', 'all installed')
  const { code, message, hint } = hostToolsMissing(host, missingPrograms)
  return line('programs', message, 'fail', hint, code)
}

/** Why libvirt or QEMU could not create the test machine; never suggests security_driver=none. */
export function judgeTrial(trial: Trial, { confinement }: HostDetails, line: Line): Check {
  const check = 'test machine'
  if (trial.ok) return line(check, 'created and removed a volume and a paused machine')
  const { reason, kernelLog } = trial
  const [shown = ''] = reason.split('\n')
  const fail = (problem: string, remedy: string): Check =>
    line(check, `${problem}: ${shown}`, 'fail', remedy)
  if (kernelLog.some((text) => /apparmor="DENIED"/.test(text)))
    return fail(
      'AppArmor denies QEMU access to the pool',
      "allow access to the folder of the pool: add '<folder>/** rwk,' to /etc/apparmor.d/local/abstractions/libvirt-qemu, then systemctl reload apparmor",
    )
  if (kernelLog.some((text) => /avc: +denied/.test(text)))
    return fail(
      'SELinux denies QEMU access to the pool',
      "label the folder of the pool: semanage fcontext -a -t virt_image_t '<folder>(/.*)?' && restorecon -R <folder>",
    )
  if (/authentication unavailable|polkit|access denied/i.test(reason))
    return fail(
      'libvirt denies access',
      'add the user to the group libvirt on the host (usermod -aG libvirt <user>), or connect as root',
    )
  if (/Permission denied/.test(reason))
    return fail(
      'the user that QEMU runs as cannot access the pool',
      'give others the x permission on every folder above the pool (check with namei -l <folder>); below a home directory it is usually missing',
    )
  if (/invalid|unsupported|Emulator|kvm/i.test(reason) && confinement.length === 0)
    return fail(
      'QEMU does not start',
      'check what the host supports: virsh -c qemu:///system capabilities',
    )
  return fail(
    'libvirt cannot create a machine',
    `see journalctl -u libvirtd -n 20 on the host${confinement.length > 0 ? `; ${confinement.join(', ')} is enforced` : ''}`,
  )
}

function judgeAddresses(
  cluster: Cluster,
  { observed, evidence }: CheckedHost,
  line: Line,
): Check[] {
  if (evidence === undefined) return []
  const inUse = cluster.nodes.flatMap((node) => {
    const answering = evidence.machines.get(node.name)?.answering ?? []
    const own = domainOf(node, observed)?.owner === cluster.name
    const others = answering.filter((mac) => !own || mac !== node.mac)
    return others.map((mac) => `${node.address} (${node.name}) is used by ${mac}`)
  })
  const own = new Set(cluster.controlPlanes.map(({ mac }) => mac))
  for (const mac of evidence.vipAnswering.filter((one) => !own.has(one)))
    inUse.push(`${cluster.vip} (CLUSTER_VIP) is used by ${mac}`)
  const addresses =
    inUse.length === 0
      ? line(
          'addresses',
          evidence.machines.size === 0
            ? 'all machines exist already'
            : 'not used by other machines',
        )
      : line(
          'addresses',
          inUse.join('; '),
          'fail',
          'change CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP, or the addresses of the other machines',
          codes.addressTaken,
        )
  if (evidence.gatewayAnswers !== false) return [addresses]
  return [
    addresses,
    line(
      'gateway',
      `${cluster.settings.NETWORK_GATEWAY} does not answer`,
      'warning',
      'set NETWORK_GATEWAY to the router (see ip route on the host)',
      codes.gatewaySilent,
    ),
  ]
}

function judgeFactory(
  { settings }: Cluster,
  { observed, outside }: CheckedHost,
  line: Line,
): Check[] {
  const answer = outside?.factory
  if (answer === undefined) return []
  const reason = 'reason' in answer ? answer.reason : `HTTP ${answer.status}`
  if ('status' in answer && answer.status >= 200 && answer.status < 300)
    return [line('Image Factory', 'reachable from the host')]
  return [
    line(
      'Image Factory',
      `the host cannot reach ${settings.TALOS_FACTORY_URL}: ${reason}`,
      observed.hasImage ? 'warning' : 'fail',
      'fix DNS, proxy or firewall of the host, or set IMAGE_RELAY=true to download images through this machine',
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
      'fail',
      'start it and allow hosts and machines to connect, or remove NFS_SERVER',
      codes.nfsNoAnswer,
    ),
  ]
}
