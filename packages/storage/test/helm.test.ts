import type { Tool } from '@talosmith/core'
import { recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openHelm } from '../src/helm.ts'

const cluster = testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' })
const find = async (name: string): Promise<Tool> => ({ path: name, version: 'v4.0.0' })

test('helm is given the kubeconfig of the cluster, and values by standard input', async () => {
  const host = recordingHost({ 'helm upgrade': 'done' })
  assert.is(await openHelm(cluster, host, find)(['upgrade', 'x'], '{"a":1}'), 'done')
  const [command = ''] = host.commands
  assert.is(command, 'helm upgrade x --kubeconfig /project/generated/home/kubeconfig')
  assert.is(host.inputs.get(command), '{"a":1}')
})

test('helm is not looked for before it is needed', async () => {
  openHelm(cluster, recordingHost(), async () => {
    throw new Error('looked for')
  })
})

test.run()
