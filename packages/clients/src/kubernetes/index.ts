export {
  ApiRefusal,
  NotOurApi,
  openKubernetes,
  type ApiRequest,
  type Kubernetes,
  type WritableKubernetes,
} from './client.ts'
export { listOf, throughNodes } from './control-planes.ts'
export { parseKubeconfig, type KubeAccess } from './kubeconfig.ts'
export {
  nodeFault,
  readinessOf,
  selects,
  type BudgetObject,
  type KubernetesNode,
  type LabelSelector,
  type NodeObject,
  type PodObject,
} from './objects.ts'
