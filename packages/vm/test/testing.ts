/** What tests and benches outside this package need of it beyond its index. */
export { sealOf } from '../src/seed-iso.ts'
export { seenExactly, seenNothing } from './seen.ts'
