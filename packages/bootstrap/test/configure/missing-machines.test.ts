import { generatedFiles, silentLog } from '@talosmith/core'
import { problemOf, recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { createCa, fakeTalosctl } from '@talosmith/clients/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMissing, refuseMissing } from '../../src/configure/missing-machines.ts'
import { startCluster } from '../../src/configure/start.ts'
import { stringify } from 'yaml'

// No machine answers there.
const settings = { NETWORK_CIDR: '127.13.61.0/24', WORKER_COUNT: '1' }
const cluster = testCluster(settings)
const host = (...names: string[]) =>
  recordingHost({ '/ list --all --name$/': `${names.join('\n')}\n` })
const missing = async (hosts: Parameters<typeof findMissing>[1]): Promise<string[]> =>
  (await findMissing(cluster.nodes, hosts)).map(({ name }) => name)

test('machines are missing that no host has', async () => {
  assert.equal(await missing(async () => [host()]), ['home-cp1', 'home-w1'])
  assert.equal(await missing(async () => [host('home-cp1', 'other')]), ['home-w1'])
  assert.equal(await missing(async () => [host('home-cp1'), host('home-w1')]), [])
  assert.equal(await missing(async () => [host('home-cp10', 'home-w1')]), ['home-cp1'])
})

test('nothing is missing where a host cannot be queried, or none is given', async () => {
  const refused = { '/ list /': { exitCode: 1, stderr: 'error: no connection' } }
  assert.equal(await missing(async () => [host(), recordingHost(refused)]), [])
  assert.equal(await missing(() => Promise.reject(new Error('refused'))), [])
  assert.equal(await missing(undefined), [])
})

test('the refusal names the machines and the commands that create them', async () => {
  const { code, message, hint, now } = await problemOf(
    Promise.resolve().then(() => refuseMissing(cluster, cluster.nodes)),
  )
  assert.equal([code, now], ['MACHINE_MISSING', 'nothing was changed'])
  assert.is(message, 'the virtual machines home-cp1, home-w1 do not exist')
  assert.match(hint ?? '', /cluster:up.*\n.*vm:create/)
  refuseMissing(cluster, [])
})

test('etcd is not waited for on control planes that do not exist', async () => {
  const made = testCluster(settings, temporaryFolder('missing'))
  const ca = createCa('/O=talos')
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const secrets = { certs: { os: { crt: base64(ca.cert) }, k8s: { crt: base64(ca.cert) } } }
  const [address = ''] = made.controlPlanes.map((node) => node.address)
  const crt = base64(ca.issue('/CN=me').cert)
  const contexts = { [made.name]: { endpoints: [address], ca: base64(ca.cert), crt } }
  const files = generatedFiles(made)
  await files.write('secrets.yaml', stringify(secrets))
  await files.write('talosconfig', stringify({ context: made.name, contexts }))
  const context = { cluster: made, log: silentLog, dryRun: false, showPlan: () => 0 as const }
  const talosctl = fakeTalosctl(() => ({ stderr: 'unreachable' }))
  const { code } = await problemOf(
    startCluster({ ...context, hosts: async () => [host('home-w1')] }, talosctl),
  )
  assert.is(code, 'MACHINE_MISSING')
})

test.run()
