import { Problem, silentLog, generatedFiles, type Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  beginRestore,
  endRestoreAfterHealth,
  findRestore,
  refuseUnfinished,
} from '../../src/generated/under-way.ts'

const test = suite<{ cluster: Cluster }>('a flow that was stopped')
test.before.each((context) => {
  context.cluster = testCluster({}, temporaryFolder('under-way'))
})
const backup = { file: 'etcd-a.db' }

test('the command that goes on with it is named, and the alternative', async ({ cluster }) => {
  await refuseUnfinished(cluster)
  await beginRestore(cluster, backup)
  const { code, hint = '' } = await problemOf(refuseUnfinished(cluster))
  assert.is(code, 'RESTORE_UNFINISHED')
  assert.match(hint, 'CONFIRM=home CLUSTER=home npx nx run cluster:restore')
  assert.match(hint, generatedFiles(cluster).path('restoring.json'))
  await refuseUnfinished(cluster, 'cluster:restore')
})

test('a record that cannot be read still stops other commands', async ({ cluster }) => {
  for (const text of ['', '{', 'null', '{"backup": 1}']) {
    await generatedFiles(cluster).write('restoring.json', text)
    assert.is(await findRestore(cluster), undefined)
    assert.is((await problemOf(refuseUnfinished(cluster))).code, 'RESTORE_UNFINISHED')
  }
})

test('once the cluster is healthy, the record of a restore is gone', async ({ cluster }) => {
  await endRestoreAfterHealth(cluster, silentLog)
  await beginRestore(cluster, backup)
  await endRestoreAfterHealth(cluster, silentLog)
  assert.is(await findRestore(cluster), undefined)
})

test('while another run has the lock, the record stays', async ({ cluster }) => {
  await beginRestore(cluster, backup)
  await endRestoreAfterHealth(cluster, silentLog, async () => {
    throw new Problem('LOCKED', 'another run')
  })
  assert.equal(await findRestore(cluster), { backup: 'etcd-a.db' })
})

test.run()
