export { observeAccessFiles, type AccessFile } from './access-status.ts'
export { configure } from './configure.ts'
export type { EtcdStatus } from './etcd.ts'
export {
  hasEnded,
  isWell,
  observeTalosEvidence,
  type ServiceEvidence,
  type TalosEvidence,
  type TalosFindings,
} from './evidence.ts'
export { openTalosctl } from './talosctl.ts'
export {
  observeKubernetesEvidence,
  readKubernetes,
  type KubernetesFindings,
  type PodEvidence,
} from './kubernetes-evidence.ts'
export {
  judge as judgeHealth,
  nodesLeftBehind,
  readinessOf,
  type Answer,
  type KubernetesNode,
  type Snapshot,
} from './health.ts'
export { checkHome } from './home.ts'
export {
  observeAccess,
  observeCluster,
  type ObservedAccess,
  type ObservedCluster,
} from './observe-cluster.ts'
export { observeKubernetesNodes, type KubernetesStatus } from './observe-nodes.ts'
export { observeTalosStatus, type TalosFacts, type TalosStatus } from './observe-status.ts'
export type { NodePlan } from './plan.ts'
export { planCluster, type ClusterPlan } from './plan-cluster.ts'
export { apiPort, probe, type ProbeResult } from './probe.ts'
export { startCluster } from './start.ts'
export { waitForHealth } from './wait-for-health.ts'
export {
  hasRemoved,
  observeHomeFiles,
  planRemoveAccess,
  planRemoveConfig,
  refuseReadOnly,
  removedFolder,
  removeFiles,
  type HomeFile,
} from './removal.ts'
export { findFinalSnapshot, planFinalSnapshot, takeFinalSnapshot } from './snapshot.ts'
export {
  backUpEtcd,
  planWholeUpgrade,
  showUpgrade,
  upgradeKubernetes,
  upgradeTalos,
} from './upgrade/flows.ts'
export type { UpgradeScript } from './upgrade/upgrade-context.ts'
export { findBackup, planRestore, restoreEtcd } from './backup/restore.ts'
export { proveOldAccessRefused } from './old-access.ts'
export {
  archiveSecrets,
  describeLosses,
  endRegeneration,
  findRegeneration,
  newRegeneration,
  noteNewMachines,
  planArchive,
} from './regeneration.ts'
