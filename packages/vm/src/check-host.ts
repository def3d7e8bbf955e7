import { firmwareMissing, hostToolsMissing, Problem, type Cluster } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'

const untouched = 'nothing was changed'

/** What a host lacks. */
export function hostProblems({ settings }: Cluster, seen: ObservedHost): Problem[] {
  const problems: Problem[] = []
  if (seen.poolProblem !== undefined) problems.push(seen.poolProblem)
  if (seen.missingTools.length > 0) problems.push(hostToolsMissing(seen.host, seen.missingTools))
  if (settings.DOMAIN_TYPE === 'kvm' && seen.kvmProblem !== undefined)
    problems.push(
      new Problem('KVM_UNUSABLE', `KVM cannot be used on ${seen.host}`, {
        because: seen.kvmProblem,
        now: untouched,
        hint: 'enable virtualisation in its firmware (or nested virtualisation), or set DOMAIN_TYPE=qemu, which is slow',
      }),
    )
  if (settings.UEFI && !seen.hasUefi) problems.push(firmwareMissing(seen.host))
  if (settings.SEED_ISO_DIR !== undefined && !seen.hasSeedFolder)
    problems.push(
      new Problem(
        'SEED_FOLDER_MISSING',
        `there is no folder ${settings.SEED_ISO_DIR} on ${seen.host}`,
        {
          now: untouched,
          hint: `mkdir -p ${settings.SEED_ISO_DIR} there, or leave SEED_ISO_DIR out`,
        },
      ),
    )
  return [...problems, ...ofNetwork(settings, seen)]
}

function ofNetwork(
  settings: Cluster['settings'],
  { host, bridges, networks }: ObservedHost,
): Problem[] {
  const bridge = settings.NETWORK_BRIDGE
  const name = settings.NETWORK_NAME
  if (bridge !== undefined && !bridges.includes(bridge))
    return [
      new Problem('BRIDGE_NOT_FOUND', `there is no bridge ${bridge} on ${host}`, {
        because: `bridges there: ${bridges.join(', ') || 'none'}`,
        now: untouched,
        hint: 'set NETWORK_BRIDGE to one of them, or NETWORK_NAME to a libvirt network (virsh net-list)',
      }),
    ]
  if (name === undefined || networks.active.includes(name)) return []
  if (networks.all.includes(name))
    return [
      new Problem('NETWORK_INACTIVE', `the libvirt network ${name} on ${host} is not active`, {
        now: untouched,
        hint: `on ${host}: virsh net-start ${name} && virsh net-autostart ${name}`,
      }),
    ]
  return [
    new Problem('NETWORK_NOT_FOUND', `there is no libvirt network ${name} on ${host}`, {
      because: `networks there: ${networks.all.join(', ') || 'none'}`,
      now: untouched,
      hint: 'set NETWORK_NAME to one of them (virsh net-list --all), or NETWORK_BRIDGE to a bridge of the host',
    }),
  ]
}
