/** What benches outside this package need of it beyond its index. */
export * as names from '../src/names.ts'
export { fingerprint } from '../src/plan.ts'
export { mountOptionsObject, storageClassSpec } from '../src/storage-class.ts'
