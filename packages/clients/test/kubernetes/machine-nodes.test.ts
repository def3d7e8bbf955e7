import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'

const machine = { name: 'home-cp1', address: '10.0.0.70' }
const node = (name: string, address: string, ready = 'True', created = ''): NodeObject => ({
  metadata: { name, creationTimestamp: created },
  status: {
    addresses: [{ type: 'InternalIP', address }],
    conditions: [{ type: 'Ready', status: ready }],
  },
})

const rows: [string, NodeObject[], string | undefined][] = [
  ['its own name', [node('home-cp1', '10.0.0.70'), node('home-w1', '10.0.0.80')], 'home-cp1'],
  ['a name of its own', [node('alpha', '10.0.0.70'), node('home-w1', '10.0.0.80')], 'alpha'],
  ['its name at another address', [node('home-cp1', '10.0.0.99')], 'home-cp1'],
  [
    'the new name, where the old node is still listed',
    [node('home-cp1', '10.0.0.70', 'Unknown'), node('alpha', '10.0.0.70')],
    'alpha',
  ],
  [
    'the newer node while neither is Ready',
    [
      node('alpha', '10.0.0.70', 'False', '2026-02-01T00:00:00Z'),
      node('home-cp1', '10.0.0.70', 'False', '2026-01-01T00:00:00Z'),
    ],
    'alpha',
  ],
  [
    "another machine's node under the name of this one",
    [node('home-cp1', '10.0.0.80'), node('home-w1', '10.0.0.70', 'False')],
    'home-w1',
  ],
  ['nothing', [node('home-w1', '10.0.0.80')], undefined],
]
for (const [what, listed, expected] of rows)
  test(`a machine is registered as ${what}`, () => {
    assert.is(nodeOf(machine, listed)?.metadata.name, expected)
  })

test.run()
