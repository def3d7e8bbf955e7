import { X509Certificate } from 'node:crypto'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kubernetesNodes, killWhen, labCluster, nx, run, scriptOf } from './support.ts'

const cluster = await labCluster()
const confirmed = { CONFIRM: cluster.name }
const regenerate = scriptOf('scripts/regenerate-secrets.ts', '--cluster', 'lab')
/** The CA of the Kubernetes API, as the kubeconfig has it. */
const ca = (): string => {
  const text = readFileSync(join(cluster.generated, 'kubeconfig'), 'utf8')
  const encoded = /certificate-authority-data: (\S+)/.exec(text)?.[1] ?? ''
  return new X509Certificate(Buffer.from(encoded, 'base64')).fingerprint256
}
let before = ''

test('the cluster is up', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  before = ca()
})

test('bootstrap:regenerate-secrets without CONFIRM says what is lost, and changes nothing', async () => {
  const { code, output } = await run(regenerate)
  assert.is(code, 1)
  assert.match(output, 'CONFIRM_MISSING')
  assert.match(output, /Archive secrets\.yaml in archive\//)
  for (const { name } of cluster.nodes) assert.match(output, `Remove virtual machine ${name}`)
  assert.is(ca(), before)
})

for (const [place, when] of [
  ['while the old files are archived', /✓ Archive/],
  ['while machines go', /✓ (Cut the power|Remove)/],
  ['while machines get their config', /✓ Give lab-/],
] as const)
  test(`it is ended by SIGKILL ${place}`, async () => {
    assert.is((await killWhen(when, regenerate, confirmed)).signal, 'SIGKILL')
  })

test('the next run ends with a healthy cluster under another CA, and the old access is refused', async () => {
  const { code, output } = await nx('bootstrap:regenerate-secrets', confirmed)
  assert.is(code, 0)
  assert.match(output, 'talosctl is refused with the old talosconfig')
  assert.match(output, 'kubectl is refused with the old kubeconfig')
  assert.is.not(ca(), before)
  assert.is((await kubernetesNodes(cluster)).length, 3)
})

test('the old secrets are kept, for their owner alone, and storage works', async () => {
  const folder = join(cluster.generated, 'archive')
  const [archive = ''] = readdirSync(folder)
  assert.is(statSync(join(folder, archive, 'secrets.yaml')).mode & 0o777, 0o600)
  const verify = scriptOf('packages/storage/scripts/verify.ts', '--cluster', 'lab')
  assert.is((await run(verify)).code, 0)
})

test.run()
