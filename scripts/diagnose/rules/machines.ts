/** Causes in a virtual machine: whether it runs, and whether it has what Talos needs. */
import { codes, type Cluster } from '@talosmith/core'
import { seedLabels } from '@talosmith/vm'
import { settingOf, type, type Diagnosis } from '../diagnosis.ts'
import { offAndOn, powerCycle } from '../on-host.ts'
import { isReady, stateOf, type View } from '../view.ts'

const agentService = 'ext-qemu-guest-agent'
/** Talos' own minimum (docs: System Requirements); below it services are killed. */
const minimumMib = { controlplane: 2048, worker: 1024 }

/** The most basic cause in the machine itself; undefined: it runs with all that it needs. */
export function judgeMachine(cluster: Cluster, view: View): Diagnosis | undefined {
  const { host } = view
  if (host === undefined) return undefined
  return judgeState(cluster, view) ?? judgeParts(cluster, view)
}

function judgeState(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, domain, evidence } = view
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
  if (domain === undefined)
    return at('MACHINE_MISSING', `there is no virtual machine ${node.name} of this cluster`, [
      type(cluster, 'cluster:up'),
    ])
  const { stateReason = '', diskErrors = '' } = evidence ?? {}
  const state = stateOf(view)
  if (state === 'paused' && /I\/O error/.test(stateReason))
    return at(
      'PAUSED_BY_DISK',
      `${node.name} was paused, because its disk could not be written`,
      [
        `# mend the disk's storage on ${host?.host} (df -h, dmesg), then`,
        type(cluster, 'cluster:start'),
      ],
      [
        ...lines(diskErrors),
        `${Math.floor((host?.poolFreeBytes ?? 0) / 2 ** 20)} MiB are free in the pool`,
      ],
    )
  if (state === 'paused' || state === 'pmsuspended')
    return at('MACHINE_PAUSED', `${node.name} is paused`, [type(cluster, 'cluster:start')])
  if (state === 'crashed' || (state === 'shut off' && /^(?:crashed|failed)/.test(stateReason)))
    return at(
      'MACHINE_CRASHED',
      `${node.name} crashed`,
      state === 'crashed' && host !== undefined
        ? powerCycle(host, node.name)
        : [type(cluster, 'cluster:start')],
      (evidence?.console ?? []).slice(-5),
    )
  if (state === 'shut off')
    return at('MACHINE_OFF', `${node.name} is switched off`, [type(cluster, 'cluster:start')])
  return undefined
}

function judgeParts(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, domain, evidence, talos } = view
  const running = evidence?.running
  if (running === undefined || host === undefined || domain === undefined) return undefined
  const at = (code: string, cause: string, evidence: string[], remedy: string[]): Diagnosis => ({
    ...{ code, where: node.name, cause, evidence, remedy },
  })
  const restart = ['# then off and on once', ...offAndOn(host, node.name)]
  const agent = talos?.services.find(({ id }) => id === agentService)
  const isWaiting = agent !== undefined && agent.state !== 'Running'
  if (!running.guestAgent && isWaiting)
    return at(
      codes.guestAgentChannelMissing,
      `${node.name} has the guest agent's extension, and no channel for it: its boot never ends`,
      [
        `talosctl service ${agentService}: ${agent.state}: ${agent.event}`,
        `virsh dumpxml ${node.name}: no channel org.qemu.guest_agent.0`,
      ],
      [
        '# either give it the channel',
        type(cluster, 'vm:create'),
        ...restart,
        '# or take siderolabs/qemu-guest-agent out of TALOS_EXTENSIONS, then',
        type(cluster, 'cluster:upgrade'),
      ],
    )
  const minimum = minimumMib[node.role]
  if (running.memoryMib < minimum)
    return at(
      'MEMORY_TOO_SMALL',
      `${node.name} has ${running.memoryMib} MiB of memory; Talos wants ${minimum} MiB at least`,
      [`virsh dumpxml ${node.name}: ${running.memoryMib} MiB`],
      [
        `# set ${settingOf(node, 'MEMORY_MIB')} in the env file, then`,
        type(cluster, 'vm:create'),
        ...restart,
      ],
    )
  return judgeSeed(cluster, view, restart)
}

/** Talos reads the seed at every boot: without it a machine has no address of ours. */
function judgeSeed(
  cluster: Cluster,
  { node, host, evidence, ...view }: View,
  restart: readonly string[],
): Diagnosis | undefined {
  const path = evidence?.running?.seed ?? ''
  const remedy = [type(cluster, 'vm:create'), ...restart]
  const where = node.name
  if (path !== '' && evidence?.isSeedKnown !== true) return undefined
  const label = evidence?.seedLabel
  if (path === '' || label === undefined)
    return isReady(view) && path !== ''
      ? undefined
      : {
          code: 'SEED_MISSING',
          where,
          cause: `${node.name} has no seed ISO, so nobody tells it its address`,
          evidence: [
            path === '' ? 'its drive is empty' : `there is no ISO in ${path} on ${host?.host}`,
          ],
          remedy,
        }
  if (!seedLabels.includes(label))
    return {
      code: 'SEED_LABEL_WRONG',
      where,
      cause: `the seed ISO of ${node.name} is not labelled cidata: Talos does not read it`,
      evidence: [`${path} on ${host?.host} is labelled "${label}"`],
      remedy,
    }
  const mark = host?.seeds.get(path)
  if (mark !== undefined && (mark.node !== node.name || mark.cluster !== cluster.name))
    return {
      code: 'SEED_OF_ANOTHER',
      where,
      cause: `${node.name} has the seed ISO of another machine`,
      evidence: [`${path} says of itself: cluster ${mark.cluster}, machine ${mark.node}`],
      remedy,
    }
  return undefined
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
