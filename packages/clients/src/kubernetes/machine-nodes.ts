/** Which node of Kubernetes is which machine of the settings. Pure. */
import type { Node } from '@talosmith/core'
import { isNodeReady, type NodeObject } from './objects.ts'

/**
 * The node that a machine has registered as: the one with its address, since a patch may give machines other
 * host names than ours; by its name only where no node has the address. After a change of the host name Kubernetes
 * lists the old node too, with the same address: the Ready one counts, then the newest.
 */
export function nodeOf(
  { name, address }: Pick<Node, 'name'> & Partial<Pick<Node, 'address'>>,
  listed: readonly NodeObject[],
): NodeObject | undefined {
  const isOwnName = ({ metadata }: NodeObject): boolean => metadata.name === name
  const [own] = listed
    .filter((node) => address !== undefined && addressesOf(node).includes(address))
    .sort(
      (a, b) =>
        Number(isNodeReady(b)) - Number(isNodeReady(a)) ||
        (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '') ||
        Number(isOwnName(b)) - Number(isOwnName(a)),
    )
  return own ?? listed.find(isOwnName)
}

/** The internal addresses that a node has registered with. */
function addressesOf({ status }: NodeObject): (string | undefined)[] {
  return (status?.addresses ?? [])
    .filter(({ type }) => type === 'InternalIP')
    .map(({ address }) => address)
}

/**
 * Whether a node's status is from before the machine's last boot: the API shows it until the kubelet has reported
 * again, and Talos takes it over (controllers/runtime/machine_status.go). The kubelet reports the boot ID of its machine.
 */
export function isOfFormerBoot({ status }: NodeObject, boot: string | undefined): boolean {
  const reported = status?.nodeInfo?.bootID
  return boot !== undefined && reported !== undefined && reported !== boot
}
