import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { placeMachines } from '../src/placement.ts'

function machines(controlPlanes: number, workers: number) {
  const many = (role: 'controlplane' | 'worker', end: string, count: number) =>
    Array.from({ length: count }, (_, index) => ({ name: `${end}${index + 1}`, role }))
  return [...many('controlplane', 'cp', controlPlanes), ...many('worker', 'w', workers)]
}

function placesOf(...given: Parameters<typeof placeMachines>): number[] {
  return [...given[0]].map(({ name }) => placeMachines(...given).get(name) ?? -1)
}

test('equal weights are round robin over control planes, then workers, for every size of cluster', () => {
  for (const hosts of [1, 2, 3, 4, 5])
    for (const controlPlanes of [1, 3, 5, 7])
      for (const workers of [0, 1, 2, 5, 9])
        assert.equal(
          placesOf(machines(controlPlanes, workers), Array<number>(hosts).fill(1)),
          Array.from({ length: controlPlanes + workers }, (_, index) => index % hosts),
        )
})

const rows: readonly (readonly [
  title: string,
  machines: readonly [number, number],
  weights: readonly number[],
  fixed: Readonly<Record<string, number>>,
  places: readonly number[],
])[] = [
  ['control planes spread whatever the weights', [3, 0], [9, 1, 1], {}, [0, 1, 2]],
  ['workers go by weight', [1, 4], [4, 1], {}, [0, 0, 0, 0, 1]],
  ['a host without weight gets no machine', [3, 3], [1, 0], {}, [0, 0, 0, 0, 0, 0]],
  ['a host without weight keeps its machines', [3, 0], [1, 0], { cp1: 1, cp2: 1 }, [1, 1, 0]],
  [
    'new control planes go where there are none',
    [5, 0],
    [1, 1],
    { cp1: 0, cp2: 0, cp3: 0 },
    [0, 0, 0, 1, 1],
  ],
  ['a new worker goes to the added host', [1, 3], [1, 1], { cp1: 0, w1: 0, w2: 0 }, [0, 0, 0, 1]],
]

for (const [title, [controlPlanes, workers], weights, fixed, places] of rows)
  test(title, () => {
    assert.equal(
      placesOf(machines(controlPlanes, workers), weights, new Map(Object.entries(fixed))),
      [...places],
    )
  })

test.run()
