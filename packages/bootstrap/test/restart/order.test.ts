import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { foreseeTurns, nextTurn } from '../../src/restart/order.ts'

type Row = [
  controlPlanes: number,
  workers: number,
  atOnce: number,
  leader: string | undefined,
  unfinished: string,
  order: string,
]
const rows: Row[] = [
  [1, 0, 1, 'cp1', '', 'cp1'],
  [1, 2, 1, 'cp1', '', 'cp1 | w1 | w2'],
  [3, 0, 1, 'cp1', '', 'cp2 | cp3 | cp1'],
  [3, 1, 1, 'cp2', '', 'cp1 | cp3 | cp2 | w1'],
  [3, 1, 1, 'cp3', '', 'cp1 | cp2 | cp3 | w1'],
  [3, 0, 1, undefined, '', 'cp1 | cp2 | cp3'],
  [5, 0, 3, 'cp4', '', 'cp1 | cp2 | cp3 | cp5 | cp4'],
  [1, 5, 2, 'cp1', '', 'cp1 | w1 w2 | w3 w4 | w5'],
  [1, 3, 3, 'cp1', '', 'cp1 | w1 w2 w3'],
  [1, 3, 10, 'cp1', '', 'cp1 | w1 w2 w3'],
  [3, 1, 1, 'cp1', 'cp1', 'cp1 | cp2 | cp3 | w1'],
  [3, 1, 1, 'cp1', 'cp3', 'cp3 | cp2 | cp1 | w1'],
  [3, 2, 1, 'cp1', 'w2', 'w2 | cp2 | cp3 | cp1 | w1'],
  [1, 3, 2, 'cp1', 'w2 w3', 'w2 w3 | cp1 | w1'],
  [3, 1, 1, 'cp1', 'cp2 w1', 'cp2 | w1 | cp3 | cp1'],
]
const named = (text: string): string[] =>
  text.split(' ').flatMap((name) => (name === '' ? [] : [`home-${name}`]))

for (const [controlPlanes, workers, atOnce, leader, unfinished, expected] of rows)
  test(`${controlPlanes} control planes led by ${leader ?? 'no member'}, ${workers} workers, ${atOnce} at once${unfinished && `, ${unfinished} left unfinished`}: ${expected}`, () => {
    const cluster = testCluster({
      CONTROL_PLANE_COUNT: String(controlPlanes),
      WORKER_COUNT: String(workers),
      UPGRADE_WORKERS_AT_ONCE: String(atOnce),
    })
    const turns = foreseeTurns(
      cluster,
      cluster.nodes.map(({ name }) => name),
      { leader: leader && `home-${leader}`, unfinished: new Set(named(unfinished)) },
    )
    const text = turns.map((turn) => turn.map(({ name }) => name.slice(5)).join(' ')).join(' | ')
    assert.is(text, expected)
  })

test('a machine has only one turn', () => {
  const cluster = testCluster({ CONTROL_PLANE_COUNT: '3' })
  const facts = { leader: 'home-cp1', unfinished: new Set<string>() }
  const turn = (...left: string[]) =>
    nextTurn(cluster, new Set(left), facts).map(({ name }) => name)
  assert.equal(turn('home-cp1', 'home-w2'), ['home-cp1'])
  assert.equal(turn('home-w2'), ['home-w2'])
  assert.equal(turn(), [])
})

test.run()
