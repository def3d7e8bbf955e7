/** Helpers for the tests of all packages. */
export { problemOf } from './failure.ts'
export { quicken } from './quicken.ts'
export { recordingHost } from './recording-host.ts'
export { freePort, hasSshd, makeKey, startSshd, type Sshd } from './sshd.ts'
export { temporaryFolder } from './temporary-folder.ts'
export { testCluster, testSettings } from './test-cluster.ts'
export { within } from './within.ts'
export { pauses } from '../wait.ts'
