/** Whether the NFS driver runs, and why not. */
import { Problem, waitFor, type Log } from '@talosmith/core'
import { listPath, type Kubernetes, type PodObject } from '@talosmith/clients/kubernetes'
import { notYetIfUnreachable } from './kubernetes.ts'
import { controllerName, nodeDriverName, releaseNamespace } from './names.ts'
import { observeWorkloads, type ObservedStorage, type DriverWorkload } from './observe.ts'

type Workloads = Pick<ObservedStorage, 'controller' | 'nodeDriver'>

/** Waits until the driver runs on every node; on a timeout, throws a Problem that names the part that does not run, and why. */
export async function awaitDriver(
  kubernetes: Kubernetes,
  log: Log,
  withinMs: number,
): Promise<void> {
  let observed: Workloads = {}
  try {
    await waitFor(
      'the NFS driver to run',
      async () => {
        observed = await notYetIfUnreachable(() => observeWorkloads(kubernetes))
        const missing = missingParts(observed)
        if (missing.length > 0) throw new Error(missing.join('; '))
      },
      { log, withinMs, everyMs: 500 },
    )
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'WAIT_TIMED_OUT') throw error
    throw driverProblem(observed, await observeReasons(kubernetes))
  }
}

/** Descriptions of the parts of the driver that do not run. */
export function missingParts({ controller, nodeDriver }: Workloads): string[] {
  return [...missingOf(controllerName, controller), ...missingOf(nodeDriverName, nodeDriver)]
}

function missingOf(name: string, workload: DriverWorkload | undefined): string[] {
  if (workload === undefined) return [`${name} is not installed`]
  const { wanted, ready } = workload
  // A DaemonSet that its controller has not observed yet wants no pod.
  if (wanted > 0 && ready >= wanted) return []
  return [`${name}: ${ready} of ${wanted} ready`]
}

/** Why pods of the driver are not ready, from their status. */
async function observeReasons(kubernetes: Kubernetes): Promise<string[]> {
  const labels = `app in (${controllerName},${nodeDriverName})`
  const pods = await kubernetes
    .list<PodObject>(listPath('Pod', releaseNamespace), { labels })
    .catch(() => [])
  return pods.flatMap(({ metadata, spec, status }) =>
    (status?.containerStatuses ?? [])
      .filter(({ ready }) => ready !== true)
      .map(({ state }) =>
        [
          `${metadata.name} on ${spec?.nodeName ?? 'no node'}:`,
          state?.waiting?.reason ?? status?.phase ?? '',
          state?.waiting?.message ?? state?.terminated?.message ?? '',
        ]
          .join(' ')
          .trim(),
      ),
  )
}

/** The part of the driver that does not run; the controller first, since nothing works without it. */
function driverProblem(observed: Workloads, reasons: readonly string[]): Problem {
  const { controller } = observed
  const details = {
    because: [...missingParts(observed), ...reasons.slice(0, 5)].join('\n'),
    hint: `kubectl -n ${releaseNamespace} describe pods -l 'app in (${controllerName},${nodeDriverName})'`,
  }
  if (controller === undefined || controller.ready === 0)
    return new Problem(
      'PROVISIONER_NOT_RUNNING',
      `the provisioner (${controllerName}) does not run, so no claim can be bound`,
      details,
    )
  if (missingOf(nodeDriverName, observed.nodeDriver).length > 0)
    return new Problem(
      'DRIVER_NOT_ON_NODE',
      `the NFS driver (${nodeDriverName}) does not run on every node`,
      details,
    )
  return new Problem(
    'PROVISIONER_NOT_RUNNING',
    `only ${controller.ready} of ${controller.wanted} provisioners (${controllerName}) runs`,
    details,
  )
}
