/** The life of a cluster, from tools/e2e.ts, which also runs it on hosts with KVM and real Talos. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { versions } from '../src/versions.ts'
import { on, right } from './diagnosis.ts'
import { nx, removeCluster, run, scriptOf } from './support.ts'

const record = join(temporaryFolder('life'), 'record.json')
const stages = ['--from', 'v1.13.8', '--from-kubernetes', versions.kubernetesBefore]
const life = scriptOf('tools/e2e.ts', 'lab', ...stages, '--record', record)
const own = { CLUSTER_NAME: 'lablife', WORKER_COUNT: '1' }

test("the cluster of the failures' chapter makes room", async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster(right)
  // What an earlier run of this chapter that failed has left.
  await removeCluster(own)
  rmSync(join(projectRoot, 'env/lab/patches/all-e2e.yaml'), { force: true })
  // The small file system that the chapter filled.
  await on(({ $ }) => $`umount /srv/small 2>/dev/null || true`)
})

test('a cluster is created, patched, backed up, upgraded, restored and destroyed', async () => {
  const { code, output } = await run(life, own)
  assert.is(code, 0)
  assert.match(output, '✓ Run UPGRADE_GATE_COMMAND before lablife-w1')
  const { steps } = JSON.parse(readFileSync(record, 'utf8')) as { steps: { outcome: string }[] }
  assert.equal(
    steps.map(({ outcome }) => outcome),
    Array.from({ length: 8 }, () => 'passed'),
  )
})

test.run()
