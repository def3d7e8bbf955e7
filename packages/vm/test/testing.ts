/** What tests and benches outside this package need of it beyond its index. */
export { encodeSeedMarker } from '../src/seed-iso.ts'
export { finishedHost, emptyHost } from './observed-hosts.ts'
