/** Where a machine is on its way to being ready, and what it lacks. */
import type { Answer } from '@talosmith/core'

/** Where a machine is, as Talos reports it (MachineStatuses.runtime.talos.dev). */
export interface MachineStatus {
  readonly stage: string
  readonly status: {
    readonly ready: boolean
    readonly unmetConditions: readonly { readonly name: string; readonly reason: string }[] | null
  }
}

/** The machine status by machine name, or why a machine does not report it. */
export type MachineStatuses = ReadonlyMap<string, Answer<MachineStatus>>

/** Why a machine is not running and ready; undefined: it is. */
export function machineProblem(machine: MachineStatus): string | undefined {
  const { stage, status } = machine
  if (stage === 'running' && status.ready) return undefined
  const unmet = (status.unmetConditions ?? []).map(({ name, reason }) => `${name}: ${reason}`)
  const why = unmet.length === 0 ? '' : `: ${unmet.join('; ')}`
  return stage === 'running' ? `not ready${why}` : `${stage}${why}`
}

/** One thing that a machine's status tells of, in the order in which they become so. */
export type Aspect = 'clock' | 'network' | 'services' | 'kubelet' | 'static pods' | 'boot' | 'ready'

/** Talos' own names for what must be met (machine_status.go, getReadinessChecks); the kubelet is one of the services. */
const namesOf: Partial<Readonly<Record<Aspect, string>>> = {
  clock: 'time',
  network: 'network',
  services: 'services',
  kubelet: 'services',
  'static pods': 'staticPods',
}
const known = new Set(Object.values(namesOf))

/** A service that is not well. */
export interface UnmetService {
  readonly id: string
  /** In Talos' words, with the ID: 'etcd not healthy'. */
  readonly reason: string
}

/**
 * The services that are not well. Talos reports them as one string, "etcd not healthy, kubelet not running":
 * the ID of each service, then its state (machine_status.go, servicesCheck, in Talos 1.13).
 */
export function unmetServices({ status }: MachineStatus): UnmetService[] {
  return reasonsOf(status, 'services').map((reason) => ({
    id: reason.split(' ', 1)[0] ?? '',
    reason,
  }))
}

/** Talos lists what is unmet of one condition in one string. */
function reasonsOf({ unmetConditions }: MachineStatus['status'], name?: string): string[] {
  return (unmetConditions ?? []).flatMap((one) => (one.name === name ? one.reason.split(', ') : []))
}

/** Why one thing about a machine is not as it should be, without its name; undefined: it is. */
export function aspectProblem(machine: MachineStatus, aspect: Aspect): string | undefined {
  const { stage, status } = machine
  if (aspect === 'boot') return stage === 'running' ? undefined : `it is ${stage}`
  // In other stages, such as installing, Talos looks at none of them.
  if (stage !== 'running' && stage !== 'booting') return `it is ${stage}`
  const unmet = status.unmetConditions ?? []
  const servicesWhere = (isKubelet: boolean): string[] =>
    unmetServices(machine).flatMap(({ id, reason }) =>
      (id === 'kubelet') === isKubelet ? [reason] : [],
    )
  const reasons = reasonsOf(status, namesOf[aspect])
  switch (aspect) {
    case 'services':
      return listed(servicesWhere(false))
    case 'kubelet':
      return listed(servicesWhere(true))
    case 'static pods':
      // Without a kubelet there are none that could be found unready.
      return listed([...reasons, ...servicesWhere(true)])
    case 'ready': {
      const others = unmet.filter(({ name }) => !known.has(name)).map(({ reason }) => reason)
      return listed(others) ?? (status.ready || unmet.length > 0 ? undefined : 'it is not ready')
    }
    default:
      return listed(reasons)
  }
}

/** Talos names a required service that is there and does not run twice. */
function listed(reasons: readonly string[]): string | undefined {
  return reasons.length === 0 ? undefined : [...new Set(reasons)].join(', ')
}
