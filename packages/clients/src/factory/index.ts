/** The Image Factory, as every part asks it. */
export { fetchChecksum } from './checksum.ts'
export { tryWarmInstaller, warmInstaller } from './installer.ts'
export {
  checkOffer,
  listExtensions,
  listVersions,
  nearestVersion,
  observeFactory,
  refuseMissingExtensions,
  refuseMissingVersion,
  type Offer,
} from './offer.ts'
export { factoryError, factoryUnreachable, isBusy } from './problems.ts'
export { fetchReason, quickRequest, type RequestOptions } from './request.ts'
export { fetchThroughProxy } from './fetch.ts'
export { postSchematic } from './schematics.ts'
