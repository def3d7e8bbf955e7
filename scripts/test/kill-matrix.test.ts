import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { cases } from './support/world/cases.ts'
import { openWorld } from './support/world/open.ts'
import { runChain } from './support/world/stages.ts'

const suiteOf = suite('the kill matrix')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip

test('has a point for every change of five commands, each with a test of its own', async () => {
  const opened = await openWorld('127.77.6.0/24')
  const nothing = opened.save()
  const counts: [command: string, count: number][] = []
  for (const [command, make] of Object.entries(cases)) {
    await opened.load(nothing)
    const { cluster, confirmed = false, options = {}, ended } = await make(opened)
    const { ending, changes } = await runChain(opened.world, cluster, command, {
      confirmed,
      options,
    })
    assert.equal(ending, { kind: 'done' })
    ended()
    counts.push([command, changes.length])
  }
  await opened.close()
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  console.log(`${total} kill points: ${counts.map((one) => one.join(' ')).join(', ')}`)
  assert.ok(total >= 60)
  assert.ok(counts.every(([, count]) => count >= 10))
})

suiteOf.run()
