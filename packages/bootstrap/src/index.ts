/** What other projects may use of this part. */
export { observeAccessFiles, type AccessFile } from './views/access-status.ts'
export { configure } from './configure/configure.ts'
export {
  hasEnded,
  isWell,
  observeTalosEvidence,
  type ServiceEvidence,
  type TalosEvidence,
  type TalosFindings,
} from './views/talos-evidence.ts'
export {
  observeKubernetesEvidence,
  readKubernetes,
  type KubernetesFindings,
  type PodEvidence,
} from './views/kubernetes-evidence.ts'
export { judgeHealth, lacksCni, nodesLeftBehind, type HealthFacts } from './health/health.ts'
export { checkGeneratedFiles, checkNewConfigs } from './configure/generated-files.ts'
export {
  observeAccess,
  observeCluster,
  type ObservedAccess,
  type ObservedCluster,
} from './configure/observe-cluster.ts'
export { observeKubernetesNodes, type KubernetesStatus } from './views/kubernetes-status.ts'
export { observeTalosStatus, type TalosFacts, type TalosStatus } from './views/talos-status.ts'
export type { NodePlan } from './configure/plan.ts'
export { planCluster, type ClusterPlan } from './configure/plan-cluster.ts'
export { refuseBootstrap } from './configure/refuse-bootstrap.ts'
export { startCluster } from './configure/start.ts'
export { waitForHealth } from './health/wait-for-health.ts'
export {
  hasRemoved,
  observeRemovableFiles,
  planRemoveAccess,
  planRemoveConfig,
  refuseReadOnly,
  removedFolder,
  removeFiles,
  type RemovableFile,
} from './generated/removal.ts'
export { findFinalBackup, planFinalBackup, takeFinalBackup } from './backup/final-backup.ts'
export {
  backUpEtcd,
  planWholeUpgrade,
  showUpgrade,
  upgradeKubernetes,
  upgradeTalos,
} from './upgrade/flows.ts'
export type { UpgradeScript } from './restart/context.ts'
export { planUnsaved } from './backup/newer.ts'
export {
  describeContinued,
  findBackup,
  planRestore,
  prepareRestore,
  refuseEtcdOnOtherHosts,
  saveReplacedEtcd,
} from './backup/prepare-restore.ts'
export { restoreEtcd } from './backup/restore.ts'
export { redactorOf } from './secrets/known-secrets.ts'
export { beginRestore, endRestoreAfterHealth, findRestore } from './generated/under-way.ts'
export { withWorkFolder } from './generated/work-folder.ts'
export {
  forgetDestroyed,
  noteDestroyed,
  observeKeptFiles,
  planNoteDestroyed,
} from './generated/destroyed.ts'
export { hasTraces, readSecretsUnlessLost } from './generated/lost-secrets.ts'
export { recoverSecrets } from './configure/recover-secrets.ts'
export { proveOldAccessRefused } from './secrets/old-access.ts'
export {
  archiveSecrets,
  describeLosses,
  describeRegeneration,
  endAfterHealth,
  endRegeneration,
  findRegeneration,
  newRegeneration,
  noteNewMachines,
  planArchive,
} from './generated/regeneration.ts'
