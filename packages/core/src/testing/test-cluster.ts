import { describeCluster, type Cluster } from '../cluster.ts'
import { readSettings } from '../settings/read.ts'

/** The env file of the cluster that tests use: one control plane, two workers, a bridge. */
export const testSettings: Readonly<Record<string, string>> = {
  CLUSTER_NAME: 'home',
  NETWORK_BRIDGE: 'br0',
}

/** A cluster for tests: `testSettings` with `overrides`, by setting name, as texts of an env file. */
export function testCluster(
  overrides: Readonly<Record<string, string>> = {},
  root = '/project',
): Cluster {
  const entries = Object.entries({ ...testSettings, ...overrides })
  const { settings } = readSettings(entries.map(([name, value]) => `${name}=${value}`).join('\n'))
  return describeCluster(settings, root)
}
