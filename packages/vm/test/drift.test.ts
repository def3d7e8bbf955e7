import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { driftOf } from '../src/drift.ts'
import { describeMachine, type Machine } from '../src/machine.ts'

const cluster = testCluster()
const [node] = cluster.nodes
if (node === undefined) throw new Error('no nodes')
const wanted = describeMachine(cluster, node, { disk: '/d', seed: '/s' }, 'kvm')

test('a machine that matches the settings has no drift', () => {
  assert.is(driftOf(structuredClone(wanted), wanted), undefined)
})

for (const [network, from] of [
  [undefined, 'no network'],
  [{ type: 'user', name: '' }, 'user'],
  [{ type: 'network', name: 'br0' }, 'network br0'],
  [{ type: 'bridge', name: 'br 1' }, 'bridge br 1'],
] as const satisfies [Machine['network'], string][])
  test(`a machine with ${from} gets bridge br0`, () => {
    assert.equal(driftOf({ ...wanted, network }, wanted), { from, to: 'bridge br0' })
  })

test('memory and its maximum are named together once', () => {
  assert.equal(driftOf({ ...wanted, memoryMib: 2048, maxMemoryMib: 2048 }, wanted), {
    from: '2048 MiB of memory',
    to: `${wanted.memoryMib} MiB of memory`,
  })
})

test.run()
