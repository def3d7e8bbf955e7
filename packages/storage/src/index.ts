/** Storage of a cluster: an NFS driver and a StorageClass, installed, proven, removed. */
export { applyStorageChange, type StorageContext } from './apply.ts'
export {
  destroyStorage,
  leftToTheMachines,
  observeRemoval,
  type StorageRemoval,
} from './destroy.ts'
export {
  installStorage,
  observeUnwanted,
  openStorage,
  uninstallStorage,
  type FlowContext,
} from './flow.ts'
export { openHelm, type Helm } from './helm.ts'
export { openApi } from './kubernetes.ts'
export {
  hasAccess,
  observeClaims,
  observeStorage,
  type Claim,
  type ObservedStorage,
} from './observe.ts'
export { checkClaims, planInstall, planStorage, planUninstall, type StorageChange } from './plan.ts'
export { describeProof, proveStorage, type Proof } from './proof/proof.ts'
export { chartValues } from './values.ts'
