/** Helpers for tests and benches outside this package. */
export { encodeSeedMarker } from '../src/seed-iso.ts'
export { finishedHost, emptyHost } from './observed-hosts.ts'
export { capabilities } from './fake-host.ts'
export { answerBatch, type VirshOutput } from './fake-virsh.ts'
