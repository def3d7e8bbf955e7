/** Plans that machines start or stop. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { clusterDomains, workersFirst } from './place.ts'
import { changeOn, type Make, type VmChange } from './vm-change.ts'

/** Starts the machines that are not running, control planes first. */
export function planMachineStart(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(b, a))
    .filter(([, { live }]) => live.state !== 'running')
    .map(([observed, domain]) => planStarting(domain, changeOn(observed, domain.name), domain))
}

/** Stops the machines that are not shut off, workers first. */
export function planMachineStop(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(a, b))
    .filter(([, { live }]) => live.state !== 'shut off')
    .map(([observed, { name, live }]) =>
      changeOn(observed, name)('stop-domain', `Shut ${name} down`, {
        from: live.state,
        to: 'shut off',
        risk: 'restart',
      }),
    )
}

/** The start of a machine; without `domain`, of one that is created first. */
export function planStarting(
  domain: ObservedDomain | undefined,
  change: Make,
  { name }: Pick<Node, 'name'>,
): VmChange {
  const from = domain === undefined ? {} : { from: domain.live.state, to: 'running' }
  return change('start-domain', `Start ${name}`, from)
}

/** The machines on all hosts, also those no longer in the settings: they are still members of the cluster. */
function everyMachine(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
): [ObservedHost, ObservedDomain][] {
  return hosts.flatMap((observed) =>
    clusterDomains(cluster, observed).map((domain): [ObservedHost, ObservedDomain] => [
      observed,
      domain,
    ]),
  )
}
