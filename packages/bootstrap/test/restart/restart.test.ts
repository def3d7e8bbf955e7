import { silentLog } from '@talosmith/core'
import { quicken, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import type { NodeFacts } from '@talosmith/clients/talos'
import { restart, waitForReboot } from '../../src/restart/restart.ts'
import type { UpgradeContext } from '../../src/restart/context.ts'
import {
  fakeTalosctl,
  resource,
  versions,
  type Reply,
  showMachine,
  createCa,
} from '@talosmith/clients/testing'
import * as assert from 'uvu/assert'

quicken()
const ca = createCa()
const cluster = testCluster({ NETWORK_CIDR: '127.13.10.0/24' })
const [first] = cluster.nodes
assert.ok(first)
const node = first
const { address } = node

test('a machine that goes down during a call is waited for no longer than a few seconds', async () => {
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
  // oxlint-disable-next-line typescript/no-misused-promises -- finally() waits for what its function returns
  await restart(context, node, 'this boot', undefined).finally(() => machine.stop())
  assert.equal(
    fake.calls.map((call) => call.split(' ')[0]),
    ['read', 'reboot', 'read'],
  )
  assert.ok((waited.at(-1) ?? Infinity) <= 5000)
})

/** A machine that has restarted into its target; `more` answers first. */
function restarted(more: (words: string) => Reply | undefined): ReturnType<typeof fakeTalosctl> {
  return fakeTalosctl((words) => {
    const reply = more(words)
    if (reply !== undefined) return reply
    if (words.startsWith('read')) return 'next boot'
    if (words === 'version') return versions({ [address]: 'v1.13.9' })
    if (words.startsWith('get extensions'))
      return resource(address, { metadata: { name: 'schematic', version: 'abc' } })
    if (words.startsWith('get platformmetadata')) return resource(address, { platform: 'nocloud' })
    return resource(address, { stage: 'running', status: { ready: true, unmetConditions: [] } })
  })
}

async function comesBack(talosctl: ReturnType<typeof fakeTalosctl>): Promise<NodeFacts> {
  const machine = await showMachine(address, { has: ca.issue('/CN=machine'), ca: ca.cert })
  const context = { cluster, talosctl, log: silentLog, secrets: { talosCa: ca.cert } }
  const target = { version: 'v1.13.9', schematic: 'abc' }
  return waitForReboot(context as unknown as UpgradeContext, node, 'this boot', target).finally(
    // oxlint-disable-next-line typescript/no-misused-promises -- finally() waits for what its function returns
    () => machine.stop(),
  )
}

test('a booting machine is queried once per check, and for what it runs once it has booted', async () => {
  let looks = 0
  const talosctl = restarted((words) =>
    words.startsWith('get machinestatus') && ++looks < 4
      ? resource(address, { stage: 'booting', status: { ready: false, unmetConditions: null } })
      : undefined,
  )
  assert.is((await comesBack(talosctl)).schematic, 'abc')
  const calls = talosctl.calls.map((call) => call.split(' ').slice(0, 2).join(' '))
  assert.equal(calls.slice(0, 5), [
    'read /proc/sys/kernel/random/boot_id',
    ...Array.from({ length: 4 }, () => 'get machinestatus'),
  ])
  assert.equal(calls.slice(5).sort(), [
    'get extensions',
    'get machinestatus',
    'get platformmetadata',
    'version @',
  ])
})

test('a machine that does not report its extensions has not rolled back', async () => {
  let silent = 2
  const talosctl = restarted((words) =>
    words.startsWith('get extensions') && silent-- > 0
      ? { stderr: 'rpc error: code = Unavailable desc = connection reset by peer' }
      : undefined,
  )
  assert.is((await comesBack(talosctl)).schematic, 'abc')
})

test.run()
