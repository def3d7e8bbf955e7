/** Helpers for benches outside this package. */
export { ledgerKey } from '../src/ledger.ts'
export { transferImage } from '../src/transfer.ts'
