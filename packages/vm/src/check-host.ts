/** Checks a host for what creating machines needs: pool, tools, KVM, firmware, network. */
import { posix } from 'node:path'
import { firmwareMissing, hostToolsMissing, Problem, quote, type Cluster } from '@talosmith/core'
import { networkProblems } from './check-network.ts'
import type { ObservedHost } from './observe.ts'
import { planCreate } from './plan-create.ts'

const unchanged = 'nothing was changed'

/** What prevents a host from running the machines. */
export function hostProblems(
  cluster: Cluster,
  observed: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  const { settings } = cluster
  const problems: Problem[] = []
  if (observed.poolProblem !== undefined) problems.push(observed.poolProblem)
  if (observed.missingTools.length > 0)
    problems.push(hostToolsMissing(observed.host, observed.missingTools))
  if (observed.emulatorProblem !== undefined)
    return [
      ...problems,
      new Problem('EMULATOR_MISSING', `libvirt on ${observed.host} offers no x86_64 machines`, {
        because: observed.emulatorProblem,
        now: unchanged,
        hint: 'machines are x86_64 (q35). On an x86_64 host, install the QEMU emulator (apt-get install qemu-system-x86, dnf install qemu-kvm) and restart libvirtd. ARM hosts are not supported: take them out of LIBVIRT_URI',
      }),
    ]
  if (settings.DOMAIN_TYPE === 'kvm' && observed.kvmProblem !== undefined)
    problems.push(
      new Problem('KVM_UNUSABLE', `KVM cannot be used on ${observed.host}`, {
        because: observed.kvmProblem,
        now: unchanged,
        hint: 'enable virtualization in its firmware (or nested virtualization), or set DOMAIN_TYPE=qemu, which is slow',
      }),
    )
  if (settings.UEFI && !observed.hasUefi) problems.push(firmwareMissing(observed.host))
  if (settings.SEED_ISO_DIR !== undefined && !observed.hasSeedFolder)
    problems.push(
      new Problem(
        'SEED_FOLDER_MISSING',
        `there is no folder ${settings.SEED_ISO_DIR} on ${observed.host}`,
        {
          now: unchanged,
          hint: `mkdir -p ${settings.SEED_ISO_DIR} there, or leave SEED_ISO_DIR out`,
        },
      ),
    )
  else if (
    settings.SEED_ISO_DIR !== undefined &&
    !observed.isSeedFolderWritable &&
    posix.dirname(observed.files.disk({ name: '' })) !==
      posix.dirname(observed.files.seed({ name: '' })) &&
    planCreate(cluster, hosts).some(
      ({ kind, host }) => kind === 'create-seed' && host === observed.index,
    )
  )
    problems.push(
      new Problem(
        'SEED_FOLDER_NOT_WRITABLE',
        `this user may not create files in ${settings.SEED_ISO_DIR} on ${observed.host}`,
        {
          because: 'libvirt creates files for it only in the pool',
          now: unchanged,
          hint: `leave SEED_ISO_DIR out, so that seed ISOs go to the pool; or as root there: setfacl -m u:<user>:rwx ${quote(settings.SEED_ISO_DIR)}`,
        },
      ),
    )
  return [...problems, ...networkProblems(cluster, observed, hosts)]
}
