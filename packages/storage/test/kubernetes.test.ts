import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  ApiRefusal,
  ApiUnreachable,
  kubernetesOver,
  NotOurApi,
} from '@talosmith/clients/kubernetes'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { notYetIfUnreachable, openApi, withProblems } from '../src/kubernetes.ts'

const cluster = testCluster()
const failing = (error: Error) =>
  withProblems(
    cluster,
    kubernetesOver(() => Promise.reject(error)),
  )

for (const [what, error, code, target] of [
  [
    'that is not there',
    new ApiUnreachable('ECONNREFUSED', 'connection refused'),
    'KUBERNETES_UNREACHABLE',
    'bootstrap:health',
  ],
  [
    'with a certificate of another CA',
    new NotOurApi('another CA'),
    'API_NOT_OURS',
    'bootstrap:start',
  ],
  ['that starts', new ApiRefusal(503, 'starting'), 'KUBERNETES_UNREACHABLE', 'bootstrap:health'],
  [
    'that does not know us',
    new NotOurApi('HTTP 401: Unauthorized', 401),
    'API_NOT_OURS',
    'bootstrap:start',
  ],
  [
    'that forbids it',
    new ApiRefusal(403, 'namespaces is forbidden', 'Forbidden'),
    'KUBERNETES_REFUSED',
    'bootstrap:health',
  ],
] as const)
  test(`an API ${what} is ${code}, with its words`, async () => {
    const problem = await problemOf(failing(error).list('/api/v1/nodes'))
    assert.is(problem.code, code)
    assert.is(problem.because, error.message)
    assert.match(problem.hint ?? '', target)
  })

test('an object that does not exist is none, and deleted already', async () => {
  const kubernetes = failing(new ApiRefusal(404, 'not found', 'NotFound'))
  assert.is(await kubernetes.get('/api/v1/nodes/a'), undefined)
  await kubernetes.delete('/api/v1/nodes/a')
  assert.is((await problemOf(kubernetes.patch('/api/v1/nodes/a', {}))).code, 'KUBERNETES_REFUSED')
})

test('in a wait an API that does not answer is not the end, and a refusal is', async () => {
  const reasonOf = (error: Error): Promise<unknown> =>
    notYetIfUnreachable(() => failing(error).list('/api/v1/nodes')).catch((thrown) => thrown.name)
  assert.is(await reasonOf(new ApiUnreachable('timeout', 'no answer within 15 s')), 'Error')
  assert.is(await reasonOf(new ApiRefusal(403, 'forbidden')), 'Problem')
  assert.is(await reasonOf(new NotOurApi('another CA')), 'Problem')
})

test('a kubeconfig that cannot be read is named', async () => {
  const broken = testCluster({}, temporaryFolder('kubeconfig'))
  mkdirSync(broken.generated, { recursive: true })
  writeFileSync(join(broken.generated, 'kubeconfig'), 'clusters: [', { mode: 0o600 })
  const problem = await problemOf(openApi(broken))
  assert.is(problem.code, 'NOT_STARTED')
  assert.match(problem.message, 'kubeconfig cannot be read')
})

test.run()
