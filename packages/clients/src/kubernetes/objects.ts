/** The Kubernetes objects that are looked at or written, typed by kubernetes-types. */
import type { DaemonSet, Deployment } from 'kubernetes-types/apps/v1.js'
import type * as core from 'kubernetes-types/core/v1.js'
import type { LabelSelector as Selector, ObjectMeta } from 'kubernetes-types/meta/v1.js'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js'
import type { StorageClass } from 'kubernetes-types/storage/v1.js'

/** Any part of an object: what a reader does not look at may be missing. */
type Part<T> = T extends readonly (infer U)[]
  ? readonly Part<U>[]
  : T extends object
    ? string extends keyof T
      ? { readonly [K in keyof T]: Part<T[K]> }
      : { readonly [K in keyof T]?: Part<T[K]> }
    : T

/** What every object in the API has. */
export interface Metadata extends Part<ObjectMeta> {
  readonly name: string
}

/** What every object in a namespace has. */
export interface NamespacedMetadata extends Metadata {
  readonly namespace: string
}

/** An object of any kind. */
export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: Metadata
}

export interface NodeObject extends Part<core.Node> {
  readonly metadata: Metadata
}

export interface PodObject extends Part<core.Pod> {
  readonly metadata: NamespacedMetadata
}

export interface EventObject extends Part<core.Event> {
  readonly metadata: Metadata
}

export interface NamespaceObject extends Part<core.Namespace> {
  readonly metadata: Metadata
}

export interface SecretObject extends Part<core.Secret> {
  readonly metadata: Metadata
}

export interface ClaimObject extends Part<core.PersistentVolumeClaim> {
  readonly metadata: Metadata
}

export interface VolumeObject extends Part<core.PersistentVolume> {
  readonly metadata: Metadata
}

export interface StorageClassObject extends Part<StorageClass> {
  readonly metadata: Metadata
}

export interface DeploymentObject extends Part<Deployment> {
  readonly metadata: Metadata
}

export interface DaemonSetObject extends Part<DaemonSet> {
  readonly metadata: Metadata
}

/** How many pods of a kind must stay. */
export interface BudgetObject extends Part<PodDisruptionBudget> {
  readonly metadata: NamespacedMetadata
}

/** Which labels something is about; https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ */
export type LabelSelector = Part<Selector>

/** Where the API has the objects of each kind that we name one by one. */
const resources = {
  Namespace: { group: '/api/v1', plural: 'namespaces' },
  Node: { group: '/api/v1', plural: 'nodes' },
  PersistentVolume: { group: '/api/v1', plural: 'persistentvolumes' },
  PersistentVolumeClaim: { group: '/api/v1', plural: 'persistentvolumeclaims' },
  Pod: { group: '/api/v1', plural: 'pods' },
  Event: { group: '/api/v1', plural: 'events' },
  Secret: { group: '/api/v1', plural: 'secrets' },
  ServiceAccount: { group: '/api/v1', plural: 'serviceaccounts' },
  Deployment: { group: '/apis/apps/v1', plural: 'deployments' },
  DaemonSet: { group: '/apis/apps/v1', plural: 'daemonsets' },
  StorageClass: { group: '/apis/storage.k8s.io/v1', plural: 'storageclasses' },
} as const

/** A kind whose place in the API is known. */
export type Kind = keyof typeof resources

/** The path of all objects of a kind, or of those in one namespace. */
export function listPath(kind: Kind, namespace?: string): string {
  const { group, plural } = resources[kind]
  return namespace === undefined
    ? `${group}/${plural}`
    : `${group}/namespaces/${namespace}/${plural}`
}

/** The path of one object. */
export function objectPath(kind: Kind, name: string, namespace?: string): string {
  return `${listPath(kind, namespace)}/${name}`
}

/** The path of an object by its own kind, namespace and name. Throws for an unknown kind. */
export function pathOf({ kind = '', metadata: { name, namespace } }: KubeObject): string {
  if (!Object.hasOwn(resources, kind)) throw new Error(`no path is known for objects of ${kind}`)
  return objectPath(kind as Kind, name, namespace)
}

/** Why a node is not Ready; undefined: it is. */
export function nodeProblem(node: NodeObject): string | undefined {
  const ready = readinessOf(node)
  if (ready?.status === 'True') return undefined
  return `is not Ready in Kubernetes: ${ready?.message ?? 'it gives no reason'}`
}

/** Whether labels are those that a selector asks for; an empty selector takes all, none takes nothing. */
export function selects(
  selector: LabelSelector | undefined,
  labels: { readonly [label: string]: string | undefined } = {},
): boolean {
  if (selector === undefined) return false
  const { matchLabels = {}, matchExpressions = [] } = selector
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key = '', operator, values = [] }) => {
      const value = labels[key]
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value)
        case 'NotIn':
          return value === undefined || !values.includes(value)
        case 'Exists':
          return value !== undefined
        case 'DoesNotExist':
          return value === undefined
        default:
          return false
      }
    })
  )
}

/** Whether a node is Ready. */
export function isNodeReady(node: NodeObject): boolean {
  return readinessOf(node)?.status === 'True'
}

/** The Ready condition of a node, as its kubelet (or the node controller in its place) reports it. */
export function readinessOf({ status }: NodeObject) {
  return status?.conditions?.find(({ type }) => type === 'Ready')
}
