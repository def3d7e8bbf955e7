/** What a bundle holds of Kubernetes objects: names, states and messages, not what users put into them. Pure. */
import type { EventObject, NodeObject, PodObject } from '@talosmith/clients/kubernetes'

/** The text of a list of `kind`, reduced. Throws for a text that is no list of the API. */
export function reduceList(kind: keyof typeof reduce, text: string): string {
  const { items = [] } = JSON.parse(text) as { items?: readonly never[] }
  return JSON.stringify(items.map(reduce[kind]), null, 2)
}

const reduce = { nodes: reduceNode, pods: reducePod, events: reduceEvent }

function reduceNode({ metadata, spec, status }: NodeObject): object {
  return {
    name: metadata?.name,
    created: metadata?.creationTimestamp,
    labels: Object.keys(metadata?.labels ?? {}),
    upgrading: metadata?.annotations?.['talosmith.dev/upgrading-to'],
    unschedulable: spec?.unschedulable,
    taints: spec?.taints?.map(({ key, effect }) => `${key}:${effect}`),
    conditions: status?.conditions,
    addresses: status?.addresses,
    capacity: status?.capacity,
    allocatable: status?.allocatable,
    nodeInfo: status?.nodeInfo,
  }
}

/** Without the spec: environment, arguments and volumes of containers are full of secrets. */
function reducePod({ metadata, spec, status }: PodObject): object {
  const containers = (
    list: NonNullable<PodObject['status']>['containerStatuses'],
  ): readonly object[] | undefined =>
    list?.map(({ name, image, ready, restartCount, state, lastState }) => ({
      ...{ name, image, ready, restartCount, state, lastState },
    }))
  return {
    name: metadata?.name,
    namespace: metadata?.namespace,
    created: metadata?.creationTimestamp,
    deleted: metadata?.deletionTimestamp,
    node: spec?.nodeName,
    phase: status?.phase,
    reason: status?.reason,
    message: status?.message,
    conditions: status?.conditions,
    initContainers: containers(status?.initContainerStatuses),
    containers: containers(status?.containerStatuses),
  }
}

function reduceEvent(event: EventObject): object {
  const { involvedObject: about, source } = event
  return {
    about: about && `${about.kind} ${about.namespace ?? ''}/${about.name}`,
    ...{ type: event.type, reason: event.reason, message: event.message },
    ...{ count: event.count, first: event.firstTimestamp, last: event.lastTimestamp },
    from: [source?.component ?? event.reportingComponent, source?.host].filter(Boolean).join(' '),
  }
}

/**
 * Files of `talosctl support` that hold whole objects, or what a machine config was turned into: pods with
 * their environment, manifests, arguments of processes (go-talos-support, collectors/collectors.go; the names
 * of resources: Talos' pkg/machinery/resources).
 */
const unneeded =
  /(?:^|\/)(?:kubernetesResources\/.*|processes|resources\/(?:\w*configs|manifests|staticpods|environments|etcfilespecs|metakeys|kubeletspecs|etcdspecs|operatorspecs|linkspecs)\.[\w.-]+)$/

/** Whether a file of `talosctl support` belongs in a bundle. */
export function isNeeded(name: string): boolean {
  return !unneeded.test(name)
}
