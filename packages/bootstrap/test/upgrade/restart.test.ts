import { silentLog } from '@talosmith/core'
import { quicken, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { restart } from '../../src/upgrade/restart.ts'
import { fakeTalosctl } from '../fakes.ts'
import { showMachine } from '../machines.ts'
import { createCa } from '../pki.ts'

quicken()
const ca = createCa()
const cluster = testCluster({ NETWORK_CIDR: '127.13.10.0/24' })
const [node] = cluster.nodes
assert.ok(node)

test('one that goes down in the middle of an answer is waited for no longer than a few seconds', async () => {
  const machine = await showMachine(node.address, { has: ca.issue('/CN=machine'), ca: ca.cert })
  const fake = fakeTalosctl((words) =>
    fake.calls.some((call) => call.startsWith('reboot')) && words.startsWith('read')
      ? { stderr: 'context deadline exceeded' }
      : 'this boot',
  )
  const waited: (number | undefined)[] = []
  const talosctl: typeof fake = {
    ...fake,
    ask: (nodes, args, options) => {
      waited.push(options?.timeoutMs)
      return fake.ask(nodes, args, options)
    },
  }
  const context = { talosctl, log: silentLog, secrets: { talosCa: ca.cert } }
  await restart(context, node, 'this boot', undefined).finally(() => machine.stop())
  assert.equal(
    fake.calls.map((call) => call.split(' ')[0]),
    ['read', 'reboot', 'read'],
  )
  assert.ok((waited.at(-1) ?? Infinity) <= 5000)
})

test.run()
