export { configure, startCluster, waitForHealth } from './flow.ts'
