import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { cases } from './support/world/cases.ts'
import { fewestPoints } from './support/world/matrix.ts'
import { openWorld } from './support/world/open.ts'
import { runChain } from './support/world/stages.ts'

const suiteOf = suite('the kill matrix')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip

test('has a point for every change of its commands, each with a test of its own', async () => {
  const opened = await openWorld('127.77.6.0/24')
  const nothing = opened.save()
  const counts: [command: string, count: number][] = []
  for (const [name, make] of Object.entries(cases)) {
    await opened.load(nothing)
    const { command, cluster, confirmed = false, options = {}, ended, refusal } = await make(opened)
    const { ending, changes } = await runChain(opened.world, cluster, command, {
      confirmed,
      options,
    })
    assert.is(ending.kind === 'refused' ? ending.code : ending.kind, refusal ?? 'done')
    ended()
    counts.push([name, changes.length])
  }
  await opened.close()
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  console.log(`${total} kill points: ${counts.map((one) => one.join(' ')).join(', ')}`)
  assert.ok(total >= 60)
  assert.ok(counts.every(([, count]) => count >= fewestPoints))
})

suiteOf.run()
