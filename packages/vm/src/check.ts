import { Problem, type Cluster } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'

const untouched = 'nothing was changed'

/** Throws for anything about a host that would make creating machines fail half-way. */
export function checkHost({ settings, nodes, name }: Cluster, seen: ObservedHost): void {
  const here = nodes.filter(({ host }) => host === seen.index)
  if (seen.networkFault !== undefined) throw seen.networkFault
  if (seen.missingTools.length > 0)
    throw new Problem('HOST_TOOLS_MISSING', `${seen.host} lacks ${seen.missingTools.join(', ')}`, {
      now: untouched,
      hint: 'install them there, for example: apt install qemu-utils xorriso',
    })
  if (settings.DOMAIN_TYPE === 'kvm' && seen.usableType !== 'kvm')
    throw new Problem('KVM_UNUSABLE', `KVM cannot be used on ${seen.host}`, {
      because: 'there is no /dev/kvm, or the processor offers neither vmx nor svm',
      now: untouched,
      hint: 'enable virtualisation in the firmware (or nested virtualisation), or set DOMAIN_TYPE=qemu, which is slow',
    })
  if (settings.UEFI && !seen.hasUefi)
    throw new Problem('FIRMWARE_MISSING', `${seen.host} has no UEFI firmware for QEMU`, {
      because: 'virsh domcapabilities --machine q35 lists no firmware "efi"',
      now: untouched,
      hint: 'install it there: apt install ovmf; or set UEFI=false',
    })
  for (const node of here) {
    const domain = seen.domains.find((one) => one.name === node.name)
    if (domain !== undefined && domain.owner !== name)
      throw new Problem(
        'VM_NOT_OURS',
        `${seen.host} has a virtual machine ${node.name} that is not of cluster ${name}`,
        {
          because:
            domain.owner === undefined
              ? 'it was not made by Talosmith'
              : `it belongs to cluster ${domain.owner}`,
          now: untouched,
          hint: `rename it (virsh domrename ${node.name} ...), or choose another CLUSTER_NAME`,
        },
      )
    const disk = seen.disks.find(({ path }) => path === seen.files.disk(node))
    if (
      domain === undefined &&
      disk !== undefined &&
      !isOverlayOfOurs(disk.backing, seen.files.image)
    )
      throw new Problem(
        'VM_NOT_OURS',
        `${disk.path} on ${seen.host} is there already and is not a disk of ours`,
        {
          because: `it is ${disk.backing === undefined ? 'no overlay' : `an overlay of ${disk.backing}`}, and no machine of ours uses it`,
          now: untouched,
          hint: 'move it away, or choose another CLUSTER_NAME',
        },
      )
    const clash = seen.domains.find((one) => one.name !== node.name && one.machine.mac === node.mac)
    if (clash !== undefined)
      throw new Problem(
        'MAC_TAKEN',
        `${clash.name} on ${seen.host} has the MAC address ${node.mac} of ${node.name}`,
        {
          now: untouched,
          hint: 'set MAC_PREFIX to other bytes',
        },
      )
  }
  if (seen.dhcp !== undefined) checkDhcp(seen.dhcp, here, seen.host)
}

function checkDhcp(
  [start, end]: readonly [string, string],
  nodes: Cluster['nodes'],
  host: string,
): void {
  const number = (address: string): number =>
    address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)
  const inside = nodes.find(
    ({ address }) => number(address) >= number(start) && number(address) <= number(end),
  )
  if (inside !== undefined)
    throw new Problem(
      'ADDRESS_IN_DHCP_RANGE',
      `${inside.name} would get ${inside.address}, which the network's DHCP gives away`,
      {
        because: `on ${host} the range is ${start} to ${end}`,
        now: untouched,
        hint: 'move CONTROL_PLANE_IP_OFFSET or WORKER_IP_OFFSET out of it, or shrink the range (virsh net-edit)',
      },
    )
}

/** A disk that a killed run, or a domain undefined by hand, left: an overlay of a Talos image beside it. */
function isOverlayOfOurs(backing: string | undefined, image: string): boolean {
  if (backing === undefined) return false
  const folder = image.slice(0, image.lastIndexOf('/') + 1)
  return backing === image || (backing.startsWith(`${folder}talos-`) && backing.endsWith('.raw'))
}
