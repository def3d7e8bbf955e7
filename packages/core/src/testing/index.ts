export { problemOf } from './failure.ts'
export { quicken } from './quicken.ts'
export { recordingHost } from './recording-host.ts'
export { testCluster, testSettings } from './test-cluster.ts'
