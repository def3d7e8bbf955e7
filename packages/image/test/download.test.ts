import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  generatedFiles,
  hostFiles,
  local,
  silentLog,
  type Cluster,
  type Problem,
} from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { applyChange } from '../src/apply.ts'
import { pipeline } from '../src/pipeline.ts'

interface Context {
  root: string
  server: Server
  cluster: Cluster
  path: string
  raw: Buffer
  /** What the server sends; the tests spoil it. */
  compressed: Buffer
  /** How many bytes of a request are sent before the connection is cut; undefined: all. */
  cutAfter: number | undefined
  ranges: boolean
  requests: string[]
}

const download = suite<Context>('image:download')

/** A raw image as a factory makes them: mostly holes, some bytes that don't compress. */
const raw = Buffer.alloc(8 * 2 ** 20)
randomBytes(2 ** 20).copy(raw, 2 ** 20)

download.before.each(async (context) => {
  context.root = mkdtempSync(join(tmpdir(), 'talosmith-'))
  mkdirSync(join(context.root, 'pool'))
  writeFileSync(join(context.root, 'raw'), raw)
  await local.$`zstd -q ${join(context.root, 'raw')} -o ${join(context.root, 'raw.zst')}`
  Object.assign(context, {
    raw,
    compressed: readFileSync(join(context.root, 'raw.zst')),
    cutAfter: undefined,
    ranges: true,
    requests: [],
  })
  context.server = createServer(({ url = '', headers }, response) => {
    context.requests.push(`${url.split('/').at(-1)} ${headers.range ?? ''}`.trim())
    if (url.endsWith('.sha256')) return void response.writeHead(402).end('enterprise not enabled')
    const [, first, last] =
      (context.ranges && /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '')) || []
    const total = context.compressed.length
    const start = Number(first ?? 0)
    const end = last === undefined || last === '' ? total : Number(last) + 1
    const body = context.compressed.subarray(start, end)
    if (first === undefined) response.writeHead(200, { 'content-length': body.length })
    else
      response.writeHead(206, {
        'content-length': body.length,
        'content-range': `bytes ${start}-${end - 1}/${total}`,
      })
    if (context.cutAfter === undefined || body.length <= 1) return void response.end(body)
    response.write(body.subarray(0, context.cutAfter), () => response.destroy())
  })
  await new Promise<void>((resolve) => context.server.listen(0, '127.0.0.1', resolve))
  const { port } = context.server.address() as AddressInfo
  context.cluster = testCluster({ TALOS_FACTORY_URL: `http://127.0.0.1:${port}` }, context.root)
  context.path = hostFiles(context.cluster, join(context.root, 'pool')).image
})
download.after.each(({ server, root }) => {
  server.closeAllConnections()
  server.close()
  rmSync(root, { recursive: true })
})

const run = (
  { cluster, path }: Context,
  kind: 'download-image' | 'verify-image' = 'download-image',
): Promise<void> =>
  applyChange(
    { kind, target: path, summary: '', risk: 'none' },
    { cluster, host: local, log: silentLog, signal: new AbortController().signal },
  )
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const problemOf = async (promise: Promise<unknown>): Promise<Problem> =>
  promise.then(assert.unreachable, (error: Problem) => error)

download(
  'the image arrives whole, sparse, readable by QEMU, and is recorded on both sides',
  async (context) => {
    await run(context)
    assert.ok(readFileSync(context.path).equals(context.raw))
    const stat = statSync(context.path)
    assert.ok(stat.blocks * 512 < raw.length / 2, 'holes stay holes')
    assert.is(stat.mode & 0o777, 0o644)
    const beside = JSON.parse(readFileSync(`${context.path}.ledger.json`, 'utf8')) as {
      raw: unknown
      compressed: unknown
    }
    assert.equal(beside.raw, { bytes: raw.length, sha256: sha256(raw) })
    assert.equal(beside.compressed, {
      bytes: context.compressed.length,
      sha256: sha256(context.compressed),
    })
    assert.match((await generatedFiles(context.cluster).read('images.json')) ?? '', sha256(raw))
    assert.equal(readdirSync(join(context.root, 'pool')).length, 2, 'nothing else is left')
  },
)

download('a transfer that is cut is carried on from where it was', async (context) => {
  context.cutAfter = 300_000
  const later = setTimeout(() => (context.cutAfter = undefined), 1500)
  await run(context)
  clearTimeout(later)
  assert.ok(readFileSync(context.path).equals(context.raw))
  assert.ok(
    context.requests.some((line) => /bytes=[1-9]\d+-$/.test(line)),
    context.requests.join('\n'),
  )
})

download('a server that cannot carry on is asked for everything again', async (context) => {
  context.ranges = false
  mkdirSync(`${context.path}.partial`)
  writeFileSync(`${context.path}.partial/compressed`, 'left by another run')
  await run(context)
  assert.ok(readFileSync(context.path).equals(context.raw))
})

download(
  'what a killed run left is carried on, and its half-made file is thrown away',
  async (context) => {
    mkdirSync(`${context.path}.partial`)
    writeFileSync(`${context.path}.partial/compressed`, context.compressed.subarray(0, 400_000))
    writeFileSync(`${context.path}.partial/raw`, 'half')
    await run(context)
    assert.ok(readFileSync(context.path).equals(context.raw))
    assert.ok(
      context.requests.includes('nocloud-amd64.raw.zst bytes=400000-'),
      context.requests.join('\n'),
    )
  },
)

download('a run that is killed leaves no image, and the next one finishes', async (context) => {
  context.cutAfter = 500_000
  const folder = `${context.path}.partial`
  await local.$({
    nothrow: true,
  })`timeout -s KILL 2 bash -c ${pipeline} x ${folder} ${context.cluster.image.url} zstd`
  assert.not(existsSync(context.path))
  context.cutAfter = undefined
  await run(context)
  assert.ok(readFileSync(context.path).equals(context.raw))
})

download('damaged bytes are refused, removed, and put nothing in place', async (context) => {
  const spoilt = Buffer.from(context.compressed)
  spoilt.fill(0x55, 200_000, 200_100)
  context.compressed = spoilt
  const problem = await problemOf(run(context))
  assert.is(problem.code, 'IMAGE_DAMAGED')
  assert.not(existsSync(context.path))
  assert.not(existsSync(`${context.path}.partial`))
})

download('other bytes under a known name are refused by the ledger', async (context) => {
  await run(context)
  rmSync(context.path)
  const other = Buffer.from(raw)
  other[5] = 1
  writeFileSync(join(context.root, 'other'), other)
  await local.$`zstd -q ${join(context.root, 'other')}`
  context.compressed = readFileSync(join(context.root, 'other.zst'))
  const problem = await problemOf(run(context))
  assert.is(problem.code, 'IMAGE_LEDGER_MISMATCH')
  assert.not(existsSync(context.path))
})

download('IMAGE_SHA256 pins the raw bytes', async (context) => {
  const { TALOS_FACTORY_URL } = context.cluster.settings
  context.cluster = testCluster({ TALOS_FACTORY_URL, IMAGE_SHA256: 'a'.repeat(64) }, context.root)
  assert.is((await problemOf(run(context))).code, 'IMAGE_PIN_DIFFERS')
  assert.not(existsSync(context.path))
})

download('an image that was there before is hashed once and recorded', async (context) => {
  writeFileSync(context.path, raw)
  await run(context, 'verify-image')
  assert.match(readFileSync(`${context.path}.ledger.json`, 'utf8'), sha256(raw))
})

download('an image replaced behind our back is refused', async (context) => {
  await run(context)
  writeFileSync(context.path, 'something else')
  assert.is((await problemOf(run(context, 'verify-image'))).code, 'IMAGE_LEDGER_MISMATCH')
})

download('a factory that refuses is told in its own words, at once', async (context) => {
  context.server
    .removeAllListeners('request')
    .on('request', (_, response) => response.writeHead(404).end('schematic not found'))
  const started = performance.now()
  const problem = await problemOf(run(context))
  assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
  assert.match(problem.because ?? '', '404')
  assert.ok(performance.now() - started < 5000)
})

download.run()
