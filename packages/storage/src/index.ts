export { applyChange, type ApplyContext } from './apply.ts'
export {
  destroyStorage,
  leftToTheMachines,
  observeRemoval,
  type StorageRemoval,
} from './destroy.ts'
export { installStorage, openStorage, uninstallStorage, type FlowContext } from './flow.ts'
export { markerFile } from './names.ts'
export { openKubernetes, type Kubernetes } from './kubernetes.ts'
export {
  observeClaims,
  observeMarks,
  observeStorage,
  type Claim,
  type ObservedStorage,
} from './observe.ts'
export { checkClaims, planInstall, planStorage, planUninstall, type StorageChange } from './plan.ts'
export { describeProof, proveStorage, type Proof } from './proof.ts'
export { chartValues } from './values.ts'
