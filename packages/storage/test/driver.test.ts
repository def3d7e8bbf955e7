import { silentLog } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { awaitDriver, missingParts } from '../src/driver.ts'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { fakeApi } from './support/fake-api.ts'

/** A cluster with so many pods of the driver ready; undefined: the workload is not there. */
function withReady(controller: number | undefined, nodeDriver: number | undefined): Kubernetes {
  const deployment = controller !== undefined && {
    metadata: { name: 'csi-nfs-controller' },
    spec: { replicas: 2 },
    status: { updatedReplicas: controller, availableReplicas: controller },
  }
  const daemonSet = nodeDriver !== undefined && {
    metadata: { name: 'csi-nfs-node' },
    status: {
      desiredNumberScheduled: 3,
      updatedNumberScheduled: nodeDriver,
      numberAvailable: nodeDriver,
    },
  }
  const waiting = { reason: 'CrashLoopBackOff', message: 'port 29652 is in use' }
  const pod = {
    kind: 'Pod',
    metadata: { name: 'csi-nfs-1' },
    spec: { nodeName: 'home-w1' },
    status: { containerStatuses: [{ ready: false, state: { waiting } }] },
  }
  return fakeApi((path) => {
    if (path.endsWith('/pods')) return [pod]
    return (path.includes('/deployments/') ? deployment : daemonSet) || undefined
  }).kubernetes
}

for (const [what, controller, nodeDriver, code, words] of [
  ['no provisioner', 0, 3, 'PROVISIONER_NOT_RUNNING', /does not run/],
  ['a provisioner that is not installed', undefined, 3, 'PROVISIONER_NOT_RUNNING', /does not run/],
  ['one provisioner of two', 1, 3, 'PROVISIONER_NOT_RUNNING', /only 1 of 2/],
  ['a node without the driver', 2, 2, 'DRIVER_NOT_ON_NODE', /every node/],
  ['a driver that is not installed', 2, undefined, 'DRIVER_NOT_ON_NODE', /every node/],
  ['one provisioner, and a node without the driver', 1, 2, 'DRIVER_NOT_ON_NODE', /every node/],
  ['nothing at all', 0, 0, 'PROVISIONER_NOT_RUNNING', /does not run/],
] as const)
  test(`${what}: ${code}, with what its pods say`, async () => {
    const problem = await problemOf(awaitDriver(withReady(controller, nodeDriver), silentLog, 1))
    assert.is(problem.code, code)
    assert.match(problem.message, words)
    assert.match(
      problem.because ?? '',
      'csi-nfs-1 on home-w1: CrashLoopBackOff port 29652 is in use',
    )
  })

test('a driver that runs everywhere is not waited for', async () => {
  await awaitDriver(withReady(2, 3), silentLog, 1)
})

test('the missing parts of the driver are described', () => {
  assert.equal(
    missingParts({ controller: { wanted: 1, ready: 1 }, nodeDriver: { wanted: 3, ready: 3 } }),
    [],
  )
  assert.equal(missingParts({ controller: { wanted: 1, ready: 0 } }), [
    'csi-nfs-controller: 0 of 1 ready',
    'csi-nfs-node is not installed',
  ])
})

test.run()
