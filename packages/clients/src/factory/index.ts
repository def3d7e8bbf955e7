export * from './client.ts'
export * from './offer.ts'
