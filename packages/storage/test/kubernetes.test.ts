import { Problem, type Tool } from '@talosmith/core'
import { recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openKubernetes } from '../src/kubernetes.ts'

const cluster = testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' })
const find = async (name: string): Promise<Tool> => ({ path: name, version: 'v1.0.0' })
const prefix = 'kubectl --kubeconfig /project/generated/home/kubeconfig --request-timeout=15s'

async function problemOf(action: Promise<unknown>): Promise<Problem> {
  try {
    await action
  } catch (error) {
    assert.instance(error, Problem)
    return error as Problem
  }
  throw new Error('was not refused')
}

test('several kinds are got in one call, and one object is a list of one', async () => {
  const host = recordingHost({
    [`${prefix} get nodes,pods`]: '{"items":[{"kind":"Node","metadata":{"name":"a"}}]}',
    [`${prefix} get storageclass/x`]: '{"kind":"StorageClass","metadata":{"name":"x"}}',
    [`${prefix} get secrets`]: '',
  })
  const kubernetes = openKubernetes(cluster, host, find)
  assert.is((await kubernetes.get(['nodes,pods'])).length, 1)
  assert.is((await kubernetes.get(['storageclass/x']))[0]?.kind, 'StorageClass')
  assert.equal(await kubernetes.get(['secrets']), [])
  assert.is(host.commands[0], `${prefix} get nodes,pods --ignore-not-found --output=json`)
})

test('objects travel over standard input, never in arguments', async () => {
  const host = recordingHost({ [`${prefix} apply`]: '' })
  await openKubernetes(cluster, host, find).apply([{ kind: 'Namespace' }])
  const [command = ''] = host.commands
  assert.not.match(command, 'Namespace')
  assert.equal(JSON.parse(host.inputs.get(command) ?? '').items, [{ kind: 'Namespace' }])
})

for (const words of [
  'Unable to connect to the server: dial tcp 10.0.0.70:6443: connect: no route to host',
  'The connection to the server 10.0.0.70:6443 was refused - did you specify the right host or port?',
  'Unable to connect to the server: net/http: TLS handshake timeout',
])
  test(`an API that does not answer is named: ${words.slice(0, 60)}`, async () => {
    const host = recordingHost({ [prefix]: { stderr: words, exitCode: 1 } })
    const problem = await problemOf(openKubernetes(cluster, host, find).get(['nodes']))
    assert.is(problem.code, 'KUBERNETES_UNREACHABLE')
    assert.match(problem.hint ?? '', 'bootstrap:health')
  })

test('what the API refuses keeps its words', async () => {
  const stderr = 'Error from server (Forbidden): namespaces is forbidden'
  const host = recordingHost({ [prefix]: { stderr, exitCode: 1 } })
  const problem = await problemOf(openKubernetes(cluster, host, find).apply([]))
  assert.is(problem.code, 'KUBECTL_FAILED')
  assert.is(problem.because, stderr)
})

test('no tool is looked for before it is needed', async () => {
  openKubernetes(cluster, recordingHost(), async () => {
    throw new Error('looked for')
  })
})

test.run()
