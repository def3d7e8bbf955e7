/** What benches outside this package need of it beyond its index. */
export { ledgerKey } from '../src/ledger.ts'
export { transferImage } from '../src/transfer.ts'
