/** Observes what cluster:doctor checks on a host, and starts a throwaway machine. */
import { clusterOn, parseLabelledLines, type Cluster, type Host } from '@talosmith/core'
import { builder } from './domain-xml.ts'
import { typeFor } from './host-facts.ts'
import type { ObservedHost } from './observe.ts'

/** Facts of a host that only the doctor needs. */
export interface HostDetails {
  /** The user that commands run as on the host. */
  readonly user: string
  readonly groups: readonly string[]
  /** The required programs that are not installed. */
  readonly missingPrograms: readonly string[]
  /** CPU flags of x86-64-v2 that the processor lacks. */
  readonly missingCpuFlags: readonly string[]
  /** The host is itself a virtual machine. */
  readonly isNested: boolean
  /** The configured bridge; undefined: none is configured, or it does not exist. */
  readonly bridge: { readonly isUp: boolean } | undefined
  /** What iptables does with packets that the host forwards. */
  readonly filter: ForwardFilter
  /** The IPv4 addresses of all interfaces, with their prefix lengths. */
  readonly addresses: readonly string[]
  /** What the kernel drew at its last boot (boot_id in random(4)): that of this machine, if it is the host. Empty: not read. */
  readonly bootId: string
  /** The MAC addresses of all interfaces: those of this machine, if it is the host. */
  readonly macs: readonly string[]
  /** AppArmor or SELinux, if enforced. */
  readonly confinement: readonly string[]
}

/** What iptables does with packets that a host forwards. */
export interface ForwardFilter {
  /** Whether it sees bridged packets too (net.bridge.bridge-nf-call-iptables). */
  readonly seesBridged: boolean
  /** The policy of FORWARD; undefined: no permission to read it. */
  readonly policy: string | undefined
  /** The rules of FORWARD and of chains that accept packets, as `iptables -S` prints them. */
  readonly rules: readonly string[]
}

/** The flags of x86-64-v2 in /proc/cpuinfo (System V ABI, micro-architecture levels). */
const levelFlags = ['cx16', 'lahf_lm', 'popcnt', 'sse4_1', 'sse4_2', 'ssse3'] as const

/** IFF_UP (linux/if.h): the administrative state. The operational state is down until a machine is attached. */
const isUpFlag = 1

/** Observes a host, its bridge and its programs with one command. */
export async function observeDetails(
  host: Host,
  {
    programs,
    bridge = '',
  }: { readonly programs: readonly string[]; readonly bridge?: string | undefined },
): Promise<HostDetails> {
  const { stdout } = await host.$({ nothrow: true, timeoutMs: 10_000 })`
echo "user $(id -un)"
echo "groups $(id -Gn)"
for tool in ${programs}; do command -v "$tool" >/dev/null || echo "missing $tool"; done
echo "flags $(grep -m1 '^flags' /proc/cpuinfo)"
echo "nf $(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)"
{ iptables -S || sudo -n iptables -S; } 2>/dev/null | grep -E -e '^-P FORWARD' -e '^-N DOCKER-USER' -e '^-A FORWARD ' -e '-j ACCEPT' | head -n 500 | sed 's/^/rule /'
ip -o -4 address show 2>/dev/null | while read -r _ _ _ address _; do echo "address $address"; done
echo "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
cat /sys/class/net/*/address 2>/dev/null | sed 's/^/mac /'
link=/sys/class/net/${bridge}
if [ -d "$link/bridge" ]; then
  echo "flags-of-bridge $(cat "$link/flags")"
fi
[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || echo "confined AppArmor"
[ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" != 1 ] || echo "confined SELinux"
true`
  const report = parseLabelledLines(stdout)
  const flags = new Set((report.first('flags') ?? '').split(/\s+/))
  const rules = report.all('rule')
  const linkFlags = report.first('flags-of-bridge')
  return {
    user: report.first('user') ?? '',
    groups: (report.first('groups') ?? '').split(' '),
    missingPrograms: report.all('missing'),
    missingCpuFlags: levelFlags.filter((flag) => !flags.has(flag)),
    isNested: flags.has('hypervisor'),
    bridge: linkFlags === undefined ? undefined : { isUp: (Number(linkFlags) & isUpFlag) !== 0 },
    filter: {
      seesBridged: report.first('nf') === '1',
      policy: rules.map((rule) => /^-P FORWARD (\w+)/.exec(rule)?.[1]).find(Boolean),
      rules: rules.filter((rule) => !rule.startsWith('-P')),
    },
    addresses: report.all('address'),
    bootId: report.first('boot') ?? '',
    macs: report.all('mac').map((mac) => mac.toLowerCase()),
    confinement: report.all('confined'),
  }
}

/** Whether a throwaway machine could be created, or the error output. */
export type Trial =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly kernelLog: readonly string[] }

/**
 * Creates a volume in the pool and a paused machine with it, and removes both: only this shows whether QEMU
 * may open the files that libvirt creates. First removes what a killed run has left.
 */
export async function tryMachine(
  host: Host,
  described: Cluster,
  observed: ObservedHost,
): Promise<Trial> {
  const { name: cluster, settings } = clusterOn(described, observed.index)
  const name = `talosmith-doctor-${cluster}`
  const pool = settings.STORAGE_POOL
  const volume = `${name}.qcow2`
  const xml = builder.build({
    domain: {
      '@type': typeFor(settings.DOMAIN_TYPE, observed.kvmProblem),
      name,
      memory: { '@unit': 'MiB', '#text': 32 },
      vcpu: 1,
      os: { type: { '@arch': 'x86_64', '@machine': 'q35', '#text': 'hvm' } },
      devices: {
        disk: {
          '@type': 'file',
          '@device': 'disk',
          driver: { '@name': 'qemu', '@type': 'qcow2' },
          source: { '@file': observed.files.disk({ name }) },
          target: { '@dev': 'vda', '@bus': 'virtio' },
        },
      },
    },
  })
  const { exitCode, stderr, stdout } = await host.$({
    nothrow: true,
    timeoutMs: 20_000,
    input: xml,
  })`
exec 3<&0 </dev/null
vsh() { virsh -q -c qemu:///system "$@"; }
cleanup() {
  vsh destroy ${name} >/dev/null 2>&1 || true
  vsh vol-delete --pool ${pool} ${volume} >/dev/null 2>&1 || true
}
cleanup
trap cleanup EXIT
if vsh vol-create-as ${pool} ${volume} 1M --format qcow2 >/dev/null && vsh create <(cat <&3) --paused >/dev/null; then
  exit 0
fi
{ dmesg 2>/dev/null || sudo -n dmesg 2>/dev/null; } | grep -E 'apparmor="DENIED"|avc: +denied' | tail -n 3 || true
exit 1`
  if (exitCode === 0) return { ok: true }
  return {
    ok: false,
    reason: stderr.trim() || `virsh exited with ${exitCode}`,
    kernelLog: stdout.split('\n').filter((line) => line !== ''),
  }
}
