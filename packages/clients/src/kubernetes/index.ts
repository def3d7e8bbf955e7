/** The Kubernetes API: its client, how requests fail, and the types of objects. */
export { kubernetesOver, openKubernetes, type Kubernetes } from './client.ts'
export { throughNodes } from './control-planes.ts'
export {
  ApiNotReady,
  apiProblem,
  ApiRefusal,
  ApiUnreachable,
  NotOurApi,
  statusOf,
} from './errors.ts'
export { isOfFormerBoot, nodeOf } from './machine-nodes.ts'
export { parseKubeconfig, type KubeAccess } from './kubeconfig.ts'
export type { ApiRequest, Ask, AskOptions } from './transport.ts'
export {
  isNodeReady,
  listPath,
  nodeProblem,
  objectPath,
  pathOf,
  readinessOf,
  selects,
  type BudgetObject,
  type ClaimObject,
  type DaemonSetObject,
  type DeploymentObject,
  type EventObject,
  type KubeObject,
  type LabelSelector,
  type Metadata,
  type NamespaceObject,
  type NodeObject,
  type PodObject,
  type SecretObject,
  type StorageClassObject,
  type VolumeObject,
} from './objects.ts'
