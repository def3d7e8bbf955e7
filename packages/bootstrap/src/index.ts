export { configure } from './configure.ts'
export { startCluster } from './start.ts'
export { waitForHealth } from './wait-for-health.ts'
export {
  hasRemoved,
  observeHomeFiles,
  planRemoveAccess,
  planRemoveConfig,
  removedFolder,
  removeFiles,
  type HomeFile,
} from './removal.ts'
export { findFinalSnapshot, takeFinalSnapshot } from './snapshot.ts'
