/** The cluster that tests use. */
import { describeCluster, type Cluster } from '../cluster.ts'
import { checkSettings } from '../settings/read.ts'

/** The settings of the test cluster: one control plane, two workers, a bridge. */
export const testSettings: Readonly<Record<string, string>> = {
  CLUSTER_NAME: 'home',
  NETWORK_BRIDGE: 'br0',
}

/**
 * A cluster with `testSettings` and `overrides`, which are texts by setting name, as in an env file. Unlike that of
 * an env file, it may be on loopback addresses, where tests run servers.
 */
export function testCluster(
  overrides: Readonly<Record<string, string>> = {},
  root = '/project',
): Cluster {
  const entries = Object.entries({ ...testSettings, ...overrides })
  const { settings, errors } = checkSettings(
    entries.map(([name, value]) => `${name}=${value}`).join('\n'),
  )
  const wrong = errors.filter(({ text }) => !text.includes('(loopback)'))
  if (wrong.length > 0)
    throw new Error(wrong.map(({ name, text }) => `${name}: ${text}`).join('\n'))
  return describeCluster(settings, root)
}
