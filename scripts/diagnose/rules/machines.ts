/** Problems of a virtual machine: it does not run, or lacks what Talos requires. */
import { guestAgentService } from '@talosmith/clients/talos'
import { codes, commandFor, type Cluster } from '@talosmith/core'
import { domainOf, seedLabels, strangerProblems } from '@talosmith/vm'
import { settingOf, type Diagnosis } from '../diagnosis.ts'
import { offAndOn, onHost, powerCycle } from '../on-host.ts'
import { isReady, stateOf, type View } from '../view.ts'

/** Talos' minimum (docs: System Requirements); with less, services are killed. */
const minimumMib = { controlplane: 2048, worker: 1024 }

/** The most basic problem of the machine; undefined: it runs and has everything that Talos requires. */
export function judgeMachine(cluster: Cluster, view: View): Diagnosis | undefined {
  const { host } = view
  if (host === undefined) return undefined
  return judgeState(cluster, view) ?? judgeParts(cluster, view)
}

function judgeState(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, domain, evidence, diskLost } = view
  const at = (code: string, cause: string, remedy: string[], more: string[] = []): Diagnosis => ({
    code,
    where: node.name,
    cause,
    evidence: [
      ...(evidence === undefined
        ? []
        : [`virsh domstate ${node.name}: ${evidence.state} (${evidence.stateReason})`]),
      ...more,
    ],
    remedy,
  })
  const [stranger] =
    host !== undefined && domainOf(node, host)?.strangerBecause !== undefined
      ? strangerProblems(cluster, [host])
      : []
  if (stranger !== undefined)
    return at(
      codes.vmNotOurs,
      stranger.message,
      [`# ${stranger.hint}`],
      stranger.because?.split('\n'),
    )
  if (domain === undefined)
    return at(codes.machineMissing, `the virtual machine ${node.name} does not exist`, [
      commandFor(cluster, 'cluster:up'),
    ])
  // Also while it runs on the deleted file, which is gone as soon as it stops.
  if (diskLost !== undefined && host !== undefined)
    return at(
      diskLost.code,
      diskLost.message,
      onHost(host, ...(diskLost.hint ?? '').split('\n').map((line) => `# ${line}`)),
      diskLost.because?.split('\n'),
    )
  const { stateReason = '', diskErrors = '' } = evidence ?? {}
  const state = stateOf(view)
  if (state === 'paused' && /I\/O error/.test(stateReason))
    return at(
      'PAUSED_BY_DISK',
      `QEMU paused ${node.name} because of an I/O error on its disk`,
      [
        `# fix the storage of the disk on ${host?.host} (see df -h and dmesg there), then`,
        commandFor(cluster, 'cluster:start'),
      ],
      [
        ...lines(diskErrors),
        `the storage pool has ${Math.floor((host?.poolFreeBytes ?? 0) / 2 ** 20)} MiB free`,
      ],
    )
  if (state === 'paused' || state === 'pmsuspended')
    return at('MACHINE_PAUSED', `${node.name} is paused`, [commandFor(cluster, 'cluster:start')])
  if (state === 'crashed' || (state === 'shut off' && /^(?:crashed|failed)/.test(stateReason)))
    return at(
      'MACHINE_CRASHED',
      `${node.name} crashed`,
      state === 'crashed' && host !== undefined
        ? powerCycle(host, node.name)
        : [commandFor(cluster, 'cluster:start')],
      (evidence?.console ?? []).slice(-5),
    )
  if (state === 'shut off')
    return at('MACHINE_OFF', `${node.name} is shut off`, [commandFor(cluster, 'cluster:start')])
  return undefined
}

function judgeParts(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, domain, evidence, talos } = view
  const running = evidence?.running
  if (running === undefined || host === undefined || domain === undefined) return undefined
  const at = (code: string, cause: string, evidence: string[], remedy: string[]): Diagnosis => ({
    ...{ code, where: node.name, cause, evidence, remedy },
  })
  const restart = ['# then shut down and start the machine', ...offAndOn(host, node.name)]
  const agent = talos?.services.find(({ id }) => id === guestAgentService)
  const isWaiting = agent !== undefined && agent.state !== 'Running'
  if (!running.guestAgent && isWaiting)
    return at(
      codes.guestAgentChannelMissing,
      `${node.name} runs the QEMU guest agent extension but has no guest agent channel, so its boot never completes`,
      [
        `talosctl service ${guestAgentService}: ${agent.state}: ${agent.event}`,
        `virsh dumpxml ${node.name}: no channel org.qemu.guest_agent.0`,
      ],
      [
        '# either add the channel',
        commandFor(cluster, 'vm:create'),
        ...restart,
        '# or remove siderolabs/qemu-guest-agent from TALOS_EXTENSIONS, then',
        commandFor(cluster, 'cluster:upgrade'),
      ],
    )
  const minimum = minimumMib[node.role]
  if (running.memoryMib < minimum)
    return at(
      'MEMORY_TOO_SMALL',
      `${node.name} has ${running.memoryMib} MiB of memory; Talos requires at least ${minimum} MiB for a ${node.role === 'worker' ? 'worker' : 'control plane'}`,
      [`virsh dumpxml ${node.name}: ${running.memoryMib} MiB`],
      [
        `# raise ${settingOf(node, 'MEMORY_MIB')} in the env file, then`,
        commandFor(cluster, 'vm:create'),
        ...restart,
      ],
    )
  return judgeSeed(cluster, view, restart)
}

/**
 * Talos prefers the seed ISO at each boot, and keeps a copy of its name and network configuration in STATE once it has
 * a machine config: without a seed it uses that (controllers/network/platform_config_{apply,load}.go).
 */
function judgeSeed(
  cluster: Cluster,
  { node, host, evidence, ...view }: View,
  restart: readonly string[],
): Diagnosis | undefined {
  const path = evidence?.running?.seed ?? ''
  const remedy = [commandFor(cluster, 'vm:create'), ...restart]
  const where = node.name
  if (path !== '' && evidence?.isSeedKnown !== true) return undefined
  const label = evidence?.seedLabel
  if (path === '' || label === undefined)
    return isReady(view) && path !== ''
      ? undefined
      : {
          code: 'SEED_MISSING',
          where,
          cause: `${node.name} has no seed ISO, so it gets no hostname and no network configuration at its first boot`,
          evidence: [
            path === ''
              ? `virsh dumpxml ${node.name}: no ISO in its CD-ROM drive`
              : `there is no ISO at ${path} on ${host?.host}`,
          ],
          remedy,
        }
  if (!seedLabels.includes(label))
    return {
      code: 'SEED_LABEL_WRONG',
      where,
      cause: `the seed ISO of ${node.name} does not have the volume label cidata, so Talos ignores it`,
      evidence: [`${path} on ${host?.host} has the volume label "${label}"`],
      remedy,
    }
  const owner = host?.seeds.get(path)
  if (owner !== undefined && (owner.node !== node.name || owner.cluster !== cluster.name))
    return {
      code: 'SEED_OF_ANOTHER',
      where,
      cause: `${node.name} boots with the seed ISO of another machine`,
      evidence: [`${path} is labelled for machine ${owner.node} of cluster ${owner.cluster}`],
      remedy,
    }
  return undefined
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
