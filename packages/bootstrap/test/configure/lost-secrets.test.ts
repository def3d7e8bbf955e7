import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fakeTalosctl, hasTalosctl } from '@talosmith/clients/testing'
import { codes, silentLog } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configure } from '../../src/configure/configure.ts'
import { observeCluster } from '../../src/configure/observe-cluster.ts'
import { startCluster } from '../../src/configure/start.ts'
import { waitForHealth } from '../../src/health/wait-for-health.ts'

// Every machine is off; of the cluster only a backup is left.
const cluster = testCluster({ NETWORK_CIDR: '127.13.42.0/24' }, temporaryFolder('lost'))
mkdirSync(join(cluster.generated, 'backups'), { recursive: true })
writeFileSync(join(cluster.generated, 'backups', 'etcd-1.db'), '')

const talosctl = fakeTalosctl(() => '')
const showPlan = () => 0 as const
const context = { cluster, log: silentLog, json: false, answer: () => undefined, showPlan }
const commands: [string, () => Promise<unknown>][] = [
  ['cluster:plan', () => observeCluster(cluster, silentLog, talosctl)],
  ['bootstrap:configure', () => configure({ ...context, dryRun: false }, talosctl)],
  ['bootstrap:configure --dry-run', () => configure({ ...context, dryRun: true }, talosctl)],
  ['bootstrap:health', () => waitForHealth(context)],
  ...((await hasTalosctl(cluster))
    ? [['bootstrap:start', () => startCluster({ ...context, dryRun: false })] as const]
    : []),
].map(([name, run]) => [name, run] as [string, () => Promise<unknown>])
for (const [name, run] of commands)
  test(`${name} reports lost secrets, and neither asks a machine nor writes anything`, async () => {
    assert.is((await problemOf(run())).code, codes.secretsLost)
    assert.equal(talosctl.calls, [])
    assert.equal(readdirSync(cluster.generated), ['backups'])
  })

test.run()
