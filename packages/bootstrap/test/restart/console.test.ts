import { silentLog, type Problem } from '@talosmith/core'
import { logLines, problemOf, quicken, recordingHost, testCluster } from '@talosmith/core/testing'
import { createCa, fakeTalosctl } from '@talosmith/clients/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBootWatch } from '../../src/restart/console.ts'
import { waitForReboot } from '../../src/restart/restart.ts'
import type { UpgradeContext } from '../../src/restart/context.ts'

quicken()
const cluster = testCluster({ NETWORK_CIDR: '127.13.17.0/24', HEALTH_TIMEOUT: '30s' })
const [node] = cluster.nodes
assert.ok(node)

const before = '[    0.000000] Linux version 6.18.0\r\n[   12.1] [talos] boot sequence: done\r\n'
const restarted = (line: string): string =>
  `${before}[    0.000000] Linux version 6.18.1\r\n[    3.1] [talos] ${line}\r\n`
const hostWith = (text: string) => async () => [
  recordingHost({ '/console.log/': logLines('home-cp1', text) }),
]

async function waitWith(text: string): Promise<Problem> {
  const context = {
    ...{ cluster, log: silentLog, hosts: hostWith(text) },
    talosctl: fakeTalosctl(() => ({ stderr: 'unreachable' })),
    secrets: { talosCa: createCa().cert },
  } as unknown as UpgradeContext
  assert.ok(node)
  const target = { version: 'v1.13.9', schematic: 'abc' }
  return problemOf(waitForReboot(context, node, 'boot', target))
}

const rows: [string, RegExp][] = [
  ['initialize sequence: failed', /neither rolls back nor reboots/],
  ['Kernel panic - not syncing: VFS', /kernel panicked/],
]
for (const [line, because] of rows)
  test(`a machine that does not recover by itself ends the wait, with a way back: ${line}`, async () => {
    const problem = await waitWith(restarted(line))
    assert.is(problem.code, 'UPGRADE_UNFINISHED')
    assert.match(problem.message, 'does not boot Talos v1.13.9')
    assert.match(problem.because ?? '', because)
    assert.match(problem.because ?? '', 'its console ended with')
    assert.match(problem.hint ?? '', /vm:boot-previous --machine home-cp1/)
    assert.not.match(JSON.stringify(problem), '70 minutes')
  })

test('a machine that Talos rolls back is waited for, with the line of its console as the reason', async () => {
  const problem = await waitWith(restarted('boot sequence: failed'))
  assert.match(problem.message, 'gave up after 30 s')
  assert.match(problem.because ?? '', 'its boot failed, and Talos rolls back')
})

test('a failure counts when two looks show it, and not every check looks', async () => {
  const host = recordingHost({
    '/console.log/': logLines('home-cp1', restarted('Kernel panic - not syncing: x')),
  })
  const watch = createBootWatch({ hosts: async () => [host] }, node)
  for (let check = 0; check < 5; check++) assert.is(await watch(), undefined)
  assert.is((await watch())?.kind, 'panics')
})

test('nothing is concluded from a boot before the last one, or from a console that cannot be read', async () => {
  for (const text of [restarted('boot sequence: done'), before]) {
    const failed = `[    0.000000] Linux version 6\r\n[ 1.0] Kernel panic - not syncing\r\n${text}`
    const watch = createBootWatch({ hosts: hostWith(failed) }, node)
    for (let check = 0; check < 11; check++) assert.is(await watch(), undefined)
  }
  const none = createBootWatch({ hosts: async () => [] }, node)
  assert.is(await none(), undefined)
})

test.run()
