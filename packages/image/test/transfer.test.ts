import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { generatedFiles, local, silentLog } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { describeProgress } from '../src/progress.ts'
import { transferImage } from '../src/transfer.ts'
import { rawImage, sha256, shortTimeouts, startRig, type Rig } from './support.ts'

const transfer = suite<{ rig: Rig }>('transfer')
transfer.before.each(async (context) => void Object.assign(context, { rig: await startRig() }))
transfer.after.each(({ rig }) => rig.close())

function leftOvers({ path }: Rig): string[] {
  return readdirSync(dirname(path)).filter((name) => name.includes('partial'))
}

transfer(
  'the image is complete, sparse, readable by QEMU, with no temporary files beside it',
  async ({ rig }) => {
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    const { blocks, mode } = statSync(rig.path)
    assert.ok(blocks * 512 < rig.raw.length / 2, 'holes stay holes')
    assert.is(mode & 0o777, 0o644)
    assert.is(readdirSync(dirname(rig.path)).length, 2, 'image and ledger')
  },
)

transfer('both ledgers have both digests', async ({ rig }) => {
  await rig.transfer()
  const beside: unknown = JSON.parse(readFileSync(`${rig.path}.ledger.json`, 'utf8'))
  const here: unknown = JSON.parse(
    (await generatedFiles(rig.cluster).read('images.json')) ?? 'null',
  )
  for (const entry of [beside, Object.values(here as object)[0]] as Record<string, unknown>[]) {
    assert.equal(entry['raw'], { bytes: rig.raw.length, sha256: sha256(rig.raw) })
    assert.equal(entry['compressed'], { bytes: rig.body.length, sha256: sha256(rig.body) })
    assert.is(entry['url'], rig.cluster.image.url)
    assert.is(entry['schematic'], rig.cluster.schematic.id)
    assert.is(entry['version'], 'v1.13.9')
    assert.is(entry['compression'], 'zst')
  }
})

for (const compression of ['xz', 'gz', 'none'] as const)
  transfer(`IMAGE_COMPRESSION=${compression} gives the same sparse image`, async () => {
    const rig = await startRig(compression)
    try {
      await rig.transfer()
      assert.ok(readFileSync(rig.path).equals(rig.raw))
      assert.ok(statSync(rig.path).blocks * 512 < rig.raw.length / 2)
    } finally {
      rig.close()
    }
  })

transfer('an image that ends in a hole keeps its length', async ({ rig }) => {
  const raw = rawImage(5 * 2 ** 20 + 4096)
  rig.body = await rig.compress(raw)
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(raw))
})

transfer('a transfer that is interrupted repeatedly is resumed each time', async ({ rig }) => {
  rig.cutAfter = 200_000
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  const starts = rig.requests.map((line) => Number(/bytes=(\d+)-/.exec(line)?.[1] ?? 0))
  assert.ok(starts.length > 5 && (starts.at(-2) ?? 0) > (starts[1] ?? 0), rig.requests.join('\n'))
})

transfer('a stalled transfer is aborted and resumed', async ({ rig }) => {
  rig.stallAfter = 500_000
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.ok(
    rig.requests.some((line) => line.endsWith('bytes=500000-')),
    rig.requests.join('\n'),
  )
})

transfer('a host behind a proxy downloads through HOST_PROXY', async ({ rig }) => {
  const proxy = rig.cluster.settings.TALOS_FACTORY_URL
  // The server of the tests answers requests for whatever host, as a proxy does.
  rig.settings({ TALOS_FACTORY_URL: 'http://factory.invalid', HOST_PROXY: proxy })
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.is(rig.requests.length, 2, 'the image, and its checksum')
})

transfer('waits for a factory that has to build the image', async ({ rig }) => {
  rig.delayMs = 2500
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('a factory that never responds is FACTORY_UNREACHABLE', async ({ rig }) => {
  rig.delayMs = 60_000
  const problem = await problemOf(
    transferImage(rig.path, {
      cluster: rig.cluster,
      host: local,
      log: silentLog,
      signal: new AbortController().signal,
      progress: () => undefined,
      timeouts: { ...shortTimeouts, firstByte: 1 },
    }),
  )
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.because ?? '', 'no answer for 1 s')
})

transfer('a transfer without progress fails with the reason', async ({ rig }) => {
  rig.cutAfter = 0
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
  assert.match(problem.because ?? '', 'curl')
  assert.not(existsSync(rig.path))
})

transfer('5xx and 429 are retried', async ({ rig }) => {
  rig.statuses = [500, 503, 429]
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('a permanent 5xx is reported with the response of the factory', async ({ rig }) => {
  rig.statuses = Array.from({ length: 20 }, () => 503)
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'status 503')
})

transfer('a 404 is not retried', async ({ rig }) => {
  rig.statuses = [404]
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'status 404')
  assert.is(rig.requests.length, 1)
})

transfer('a refused connection is FACTORY_UNREACHABLE, with the reason', async ({ rig }) => {
  rig.settings({ TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.because ?? '', 'curl: (7)')
})

transfer('redirects are followed', async ({ rig }) => {
  const target = rig.cluster.settings.TALOS_FACTORY_URL
  const from = createServer(({ url }, response) =>
    response.writeHead(302, { location: `${target}${url}` }).end('elsewhere'),
  )
  await new Promise<void>((resolve) => from.listen(0, '127.0.0.1', resolve))
  const { port } = from.address() as AddressInfo
  rig.settings({ TALOS_FACTORY_URL: `http://127.0.0.1:${port}` })
  try {
    await rig.transfer()
  } finally {
    from.close()
  }
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

transfer('without Range support the download starts again', async ({ rig }) => {
  rig.hasRanges = false
  mkdirSync(rig.folder)
  keep(rig, 'left by another run')
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

transfer(
  'without a Content-Length the end of the response is the end of the image',
  async ({ rig }) => {
    rig.hasLength = false
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
  },
)

function keep(rig: Rig, bytes: string | Uint8Array, url = rig.cluster.image.url): void {
  mkdirSync(rig.folder, { recursive: true })
  writeFileSync(`${rig.folder}/compressed`, bytes)
  writeFileSync(`${rig.folder}/source`, `${url}\n${rig.etag ?? ''}\n${rig.body.length}\n`)
}

transfer(
  'the download of a killed run is resumed, its incomplete image discarded',
  async ({ rig }) => {
    keep(rig, rig.body.subarray(0, 400_000))
    writeFileSync(`${rig.folder}/raw`, 'half')
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    assert.is(rig.requests[0], 'nocloud-amd64.raw.zst bytes=400000-')
  },
)

transfer('a complete download is not requested again', async ({ rig }) => {
  keep(rig, rig.body)
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.equal(rig.requests, ['nocloud-amd64.raw.zst.sha256'])
})

transfer('a partial download of another URL is discarded', async ({ rig }) => {
  keep(rig, rig.body.subarray(0, 400_000), `${rig.cluster.image.url}.old`)
  await rig.transfer()
  assert.is(rig.requests[0], 'nocloud-amd64.raw.zst')
})

transfer(
  'a partial download is discarded when the file at the factory has changed',
  async ({ rig }) => {
    keep(rig, Buffer.alloc(400_000, 'x'))
    rig.etag = '"second"'
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    assert.equal(rig.requests.slice(0, 2), [
      'nocloud-amd64.raw.zst bytes=400000-',
      'nocloud-amd64.raw.zst',
    ])
  },
)

transfer('a partial download longer than the file is discarded', async ({ rig }) => {
  keep(rig, Buffer.alloc(rig.body.length + 10, 'x'))
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

transfer(
  'a corrupted download is rejected and removed; the next run starts again',
  async ({ rig }) => {
    const good = rig.body
    rig.body = Buffer.from(good)
    rig.body.fill(0x55, 200_000, 200_100)
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'IMAGE_DAMAGED')
    assert.not(existsSync(rig.path))
    assert.not(existsSync(`${rig.folder}/compressed`))
    rig.body = good
    await rig.transfer()
    assert.equal(leftOvers(rig), [])
  },
)

transfer('a file that is truncated at the factory is rejected', async ({ rig }) => {
  rig.body = rig.body.subarray(0, rig.body.length - 1000)
  assert.is((await problemOf(rig.transfer())).code, 'IMAGE_DAMAGED')
  assert.not(existsSync(rig.path))
})

transfer('a web page instead of an image is rejected', async () => {
  const rig = await startRig('none')
  rig.body = Buffer.from('<html>Please log in</html>'.repeat(100))
  try {
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'IMAGE_NOT_RAW')
    assert.not(existsSync(rig.path))
    assert.equal(leftOvers(rig), [])
  } finally {
    rig.close()
  }
})

transfer('an offered checksum is verified', async ({ rig }) => {
  rig.checksum = `${sha256(rig.body)}  nocloud-amd64.raw.zst\n`
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer(
  'a download that does not match the offered checksum is rejected, with both',
  async ({ rig }) => {
    rig.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'IMAGE_CHECKSUM_DIFFERS')
    assert.match(problem.because ?? '', 'a'.repeat(64))
    assert.match(problem.because ?? '', sha256(rig.body))
    assert.not(existsSync(rig.path))
  },
)

transfer(
  'a download that differs from the ledger is rejected before it replaces anything',
  async ({ rig }) => {
    await rig.transfer()
    const ledger = await generatedFiles(rig.cluster).read('images.json')
    await local.$`mv ${rig.path} ${rig.path}.aside`
    rig.body = await rig.compress(rawImage())
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'IMAGE_LEDGER_MISMATCH')
    assert.match(problem.because ?? '', sha256(rig.raw))
    assert.not(existsSync(rig.path))
    assert.is(await generatedFiles(rig.cluster).read('images.json'), ledger)
  },
)

transfer('the same image with another compression is accepted', async ({ rig }) => {
  await rig.transfer()
  await local.$`rm ${rig.path}`
  rig.body = await rig.compress(rig.raw, 'xz')
  rig.settings({ IMAGE_COMPRESSION: 'xz' })
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('IMAGE_SHA256 pins the raw bytes', async ({ rig }) => {
  rig.settings({ IMAGE_SHA256: 'a'.repeat(64) })
  assert.is((await problemOf(rig.transfer())).code, 'IMAGE_PIN_DIFFERS')
  assert.not(existsSync(rig.path))
  rig.settings({ IMAGE_SHA256: sha256(rig.raw) })
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('two simultaneous runs download the image once', async ({ rig }) => {
  rig.rate = 1_000_000
  await Promise.all([rig.transfer(), sleep(300).then(() => rig.transfer())])
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.equal(leftOvers(rig), [])
  assert.is(rig.requests.filter((line) => !line.includes('sha256')).length, 1)
})

transfer('progress has bytes, rate and remaining time', () => {
  const mib = 2 ** 20
  assert.is(
    describeProgress(50 * mib, 100 * mib, 20 * mib, 2000),
    '50 of 100 MiB, 10.0 MiB/s, 5 s left',
  )
  assert.is(describeProgress(50 * mib, 0, 20 * mib, 2000), '50 MiB, 10.0 MiB/s')
  assert.is(describeProgress(0, 0, 0, 0), '0 MiB')
})

transfer.run()
