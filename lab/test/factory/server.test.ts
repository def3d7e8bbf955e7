import { readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Assets } from '../../src/factory/assets.ts'
import { createFactory } from '../../src/factory/server.ts'

/** Assets whose images already exist: only the server's responses are tested. */
class ReadyAssets extends Assets {
  override async image(id: string, version: string, file: string): Promise<string> {
    this.checkVersion(this.schematic(id), version)
    return join(folder, file)
  }
}

const folder = temporaryFolder('factory')
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
writeFileSync(join(folder, 'nocloud-amd64.raw.zst'), bytes)
writeFileSync(join(folder, 'kubelab'), 'program')
const faultsFile = join(folder, 'faults.json')
const kernel = { release: 'r', image: '/none', root: '/none' }
const server = createFactory({
  assets: new ReadyAssets({ kernel, initramfs: 'initramfs-r.cpio.zst' }, 'http://factory', folder),
  binaries: { etcd: { 'v3.6.14': join(folder, 'kubelab') } },
  talosctl: { path: join(folder, 'none'), version: 'v1.13.9' },
  chartFolder: folder,
  faultsFile,
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const plain = '376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba'
const image = `${url}/image/${plain}/v1.13.9/nocloud-amd64.raw.zst`
const post = (body: string): Promise<Response> =>
  fetch(`${url}/schematics`, { method: 'POST', body })
const orderFaults = (...faults: object[]): Promise<Response> =>
  fetch(`${url}/lab/faults`, { method: 'POST', body: JSON.stringify(faults) })

const factory = suite('factory')
factory.before(() => post('customization: {}').then(() => undefined))
factory.after(() => {
  server.closeAllConnections()
  server.close()
})

factory('answers 201 with the ID and the canonical text', async () => {
  const response = await post('customization: {}')
  assert.is(response.status, 201)
  assert.equal(await response.json(), { id: plain, schematic: 'customization: {}\n' })
})

factory('returns a schematic, and reports an unknown one', async () => {
  const there = await fetch(`${url}/schematics/${plain}`)
  assert.is(there.headers.get('content-type'), 'application/yaml')
  assert.is(await there.text(), 'customization: {}\n')
  const unknown = await fetch(`${url}/schematics/${'0'.repeat(64)}`)
  assert.is(unknown.status, 404)
  assert.is(await unknown.text(), 'schematic not found\n')
})

const answers: [string, number, RegExp][] = [
  ['/healthz', 200, /^$/],
  ['/versions', 200, /^\["v1\.12\.11",.*"v1\.13\.9"\]\n$/],
  ['/version/1.13.9/extensions/official', 200, /siderolabs\/qemu-guest-agent/],
  ['/version/v9.9.9/extensions/official', 404, /version v9\.9\.9 is not available/],
  [`/image/${plain}/v1.13.9/nocloud-amd64.raw.zst.sha256`, 402, /^enterprise not enabled: /],
  [`/image/${'0'.repeat(64)}/v1.13.9/nocloud-amd64.raw.zst`, 404, /schematic ID ".*" not found/],
  [`/image/${plain}/v9.9.9/nocloud-amd64.raw.zst`, 404, /version v9\.9\.9 is not available/],
  // Without the index type in Accept, as fetch asks.
  [`/v2/nocloud-installer/${plain}/manifests/v1.13.9`, 404, /accept header does not support/],
  [`/v2/nocloud-installer/${plain}/manifests/v9.9.9`, 404, /version v9\.9\.9 is not available/],
  ['/lab/binaries/etcd/v3.6.14', 200, /^program$/],
  ['/lab/binaries/etcd/v9.9.9', 404, /not found/],
  ['/lab/binaries/nginx/v1.36.3', 404, /not found/],
  ['/nothing', 404, /404 page not found/],
]
for (const [path, status, text] of answers)
  factory(`${path.replaceAll(/[0-9a-f]{64}/g, '<id>')} answers ${status}`, async () => {
    const response = await fetch(url + path)
    assert.is(response.status, status)
    assert.match(await response.text(), text)
  })

factory(
  'accepts an unknown extension and rejects its image, as the public factory does',
  async () => {
    const response = await post(
      'customization: { systemExtensions: { officialExtensions: [a/b] } }',
    )
    assert.is(response.status, 201)
    const { id } = (await response.json()) as { id: string }
    const refused = await fetch(image.replace(plain, id))
    assert.is(refused.status, 400)
    assert.match(await refused.text(), 'official extension "a/b" is not available')
  },
)

factory('redirects to the registry that has the built installer', async () => {
  const manifest = `${url}/v2/nocloud-installer/${plain}/manifests/v1.13.9`
  const headers = { accept: 'text/plain, application/vnd.oci.image.index.v1+json' }
  const redirect = await fetch(manifest, { redirect: 'manual' })
  assert.is(redirect.status, 307)
  assert.match(redirect.headers.get('location') ?? '', /^http:.*\/manifests\/sha256:[0-9a-f]{64}$/)
  const index = await fetch(manifest, { headers })
  assert.is(index.status, 200)
  assert.match(await index.text(), 'schemaVersion')
})

factory('redirects to its cache, and has no ranges of its own', async () => {
  const redirect = await fetch(image, { redirect: 'manual', headers: { range: 'bytes=5-' } })
  assert.is(redirect.status, 302)
  const head = await fetch(image, { method: 'HEAD', headers: { range: 'bytes=5-' } })
  assert.is(head.status, 200)
  assert.is(head.headers.get('accept-ranges'), null)
})

factory('sends a whole file, its head, or the rest of it', async () => {
  const head = await fetch(image, { method: 'HEAD' })
  assert.is(head.headers.get('content-length'), String(bytes.length))
  const whole = Buffer.from(await (await fetch(image)).arrayBuffer())
  assert.ok(whole.equals(bytes))
  const rest = await fetch(image, { headers: { range: 'bytes=299990-' } })
  assert.is(rest.status, 206)
  assert.is(rest.headers.get('content-range'), `bytes 299990-299999/${bytes.length}`)
  assert.ok(Buffer.from(await rest.arrayBuffer()).equals(bytes.subarray(299_990)))
  assert.is((await fetch(image, { headers: { range: 'bytes=300000-' } })).status, 416)
})

factory('fails for the requested number of times, then works', async () => {
  await orderFaults({ path: '^/versions$', kind: 'status', status: 503, times: 2 })
  const statuses = []
  for (let i = 0; i < 3; i++) statuses.push((await fetch(`${url}/versions`)).status)
  assert.equal(statuses, [503, 503, 200])
})

factory('cuts a transfer short, and changes a byte of one', async () => {
  await orderFaults(
    { path: '^/image/', kind: 'cut', afterBytes: 1000, times: 1 },
    { path: '^/image/', kind: 'corrupt', afterBytes: 1000, times: 1 },
  )
  const cut = await fetch(image)
    .then((response) => response.arrayBuffer())
    .catch(() => 'cut')
  assert.is(cut, 'cut')
  const changed = Buffer.from(await (await fetch(image)).arrayBuffer())
  assert.is(changed.length, bytes.length)
  assert.is.not(changed[1000], bytes[1000])
  assert.is(changed[1001], bytes[1001])
})

factory('stores injected faults in a file', async () => {
  await orderFaults({ path: 'x', kind: 'stall', times: 1 })
  assert.match(readFileSync(faultsFile, 'utf8'), 'stall')
  await orderFaults()
})

factory.run()
