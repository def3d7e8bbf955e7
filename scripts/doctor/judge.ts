/** Judges the facts about a host: one check per requirement. Pure. */
import { posix } from 'node:path'
import { codes, hostToolsMissing, type Cluster } from '@talosmith/core'
import { type HostDetails, type Trial, typeFor } from '@talosmith/vm'
import { failed, type Check } from './check.ts'
import type { CheckedHost, Line } from './checked-host.ts'
import { judgeEndpoint } from './endpoint.ts'
import { judgeFilter } from './judge-filter.ts'
import { judgeAddresses, judgeFactory, judgeNetwork, judgeNfs } from './judge-network.ts'
import { judgeReach } from './judge-reach.ts'

/** The check that a problem of vm:create belongs to. */
const checkOf: Readonly<Record<string, string>> = {
  [codes.poolInactive]: 'storage pool',
  [codes.poolNotFound]: 'storage pool',
  [codes.poolNotAFolder]: 'storage pool',
  [codes.poolFull]: 'storage pool',
  [codes.poolUnreadable]: 'storage pool',
  [codes.poolEmpty]: 'storage pool',
  [codes.hostToolsMissing]: 'programs',
  EMULATOR_MISSING: 'KVM',
  KVM_UNUSABLE: 'KVM',
  [codes.firmwareMissing]: 'UEFI firmware',
  BRIDGE_NOT_FOUND: 'network',
  NETWORK_INACTIVE: 'network',
  NETWORK_NOT_FOUND: 'network',
  [codes.addressOutsideNetwork]: 'network',
  [codes.addressTaken]: 'addresses',
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
  const way = observed.isPoolWritable
    ? ''
    : '; this user may not write there: libvirt creates the files, as volumes'
  const rest = [
    line(
      'access',
      `connected as ${details.user} (groups: ${details.groups.join(', ')}); virsh works`,
    ),
    ...judgeKvm(cluster, host, line),
    judgeLevel(cluster, host, line),
    line(
      'storage pool',
      `${cluster.settings.STORAGE_POOL}: ${posix.dirname(observed.files.disk({ name: '' }))}, ${free}${way}`,
    ),
    judgeNetwork(cluster, host, line),
    judgeFilter(cluster, host, line),
    // In the wrong network, the route is wrong too.
    ...(failedChecks.has('network') ? [] : judgeReach(cluster, host, line)),
    line('UEFI firmware', cluster.settings.UEFI ? 'installed' : 'not needed'),
    judgePrograms(details, area, line),
    ...(host.trial === undefined ? [] : [judgeTrial(host.trial, details, line)]),
    judgeMemory(host, line),
    ...judgeAddresses(cluster, host, line),
    ...(host.outside === undefined
      ? []
      : [
          ...judgeFactory(cluster, host, line),
          ...judgeNfs(cluster, host.outside.nfs, line),
          // Other than this machine, a host works without the name; its machines ask their own name servers.
          ...judgeEndpoint(cluster, host.outside.endpoint, { area, exists: true }),
        ]),
    // An `ok` beside a failure of the same check would only confuse.
  ].filter(({ check, verdict }) => verdict !== 'ok' || !failedChecks.has(check))
  return [...rest, ...failures]
}

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
