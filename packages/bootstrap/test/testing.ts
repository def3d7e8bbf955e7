/** What tests and benches outside this package need of it beyond its index. */
export { observeHome, writeConfigs, writeTalosconfig } from '../src/home.ts'
export { createSecrets } from '../src/secrets.ts'
export { showMachine } from './machines.ts'
export { createCa, type Ca } from './pki.ts'
