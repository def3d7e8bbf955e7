/** What tests and benches outside this package need of it beyond its index. */
export {
  observeGeneratedFiles,
  writeConfigs,
  writeTalosconfig,
} from '../src/configure/generated-files.ts'
export { createSecrets } from '../src/generated/create-secrets.ts'
export { Simulation, type Machine } from './support/simulated.ts'
