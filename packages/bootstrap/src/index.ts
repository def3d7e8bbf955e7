export { configure } from './configure.ts'
export { startCluster } from './start.ts'
export { waitForHealth } from './wait-for-health.ts'
