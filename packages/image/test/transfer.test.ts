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
  'the image arrives whole, sparse, readable by QEMU, with nothing beside it',
  async ({ rig }) => {
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    const { blocks, mode } = statSync(rig.path)
    assert.ok(blocks * 512 < rig.raw.length / 2, 'holes stay holes')
    assert.is(mode & 0o777, 0o644)
    assert.is(readdirSync(dirname(rig.path)).length, 2, 'image and ledger')
  },
)

transfer('both ledgers know both digests', async ({ rig }) => {
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
  transfer(`IMAGE_COMPRESSION=${compression} gives the same bytes, sparse`, async () => {
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

transfer(
  'a transfer that is cut again and again is carried on from where it was',
  async ({ rig }) => {
    rig.cutAfter = 200_000
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    const starts = rig.requests.map((line) => Number(/bytes=(\d+)-/.exec(line)?.[1] ?? 0))
    assert.ok(starts.length > 5 && (starts.at(-2) ?? 0) > (starts[1] ?? 0), rig.requests.join('\n'))
  },
)

transfer('a transfer that stalls is given up and carried on', async ({ rig }) => {
  rig.stallAfter = 500_000
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.ok(
    rig.requests.some((line) => line.endsWith('bytes=500000-')),
    rig.requests.join('\n'),
  )
})

transfer('a factory that builds the image first is waited for', async ({ rig }) => {
  rig.delayMs = 2500
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('a factory that never answers is named', async ({ rig }) => {
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

transfer(
  'a transfer that brings nothing any more is given up, with the reason',
  async ({ rig }) => {
    rig.cutAfter = 0
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
    assert.match(problem.because ?? '', 'curl')
    assert.not(existsSync(rig.path))
  },
)

transfer('5xx and 429 are tried again', async ({ rig }) => {
  rig.statuses = [500, 503, 429]
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('a lasting 5xx is told in the words of the factory', async ({ rig }) => {
  rig.statuses = Array.from({ length: 20 }, () => 503)
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 503')
})

transfer('a 404 is not tried again', async ({ rig }) => {
  rig.statuses = [404]
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 404')
  assert.is(rig.requests.length, 1)
})

transfer(
  'nobody there is told with the reason, and the way out through this machine',
  async ({ rig }) => {
    rig.settings({ TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
    const problem = await problemOf(rig.transfer())
    assert.is(problem.code, 'FACTORY_UNREACHABLE')
    assert.match(problem.because ?? '', 'curl: (7)')
  },
)

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

transfer('a server without Range is asked for everything again', async ({ rig }) => {
  rig.hasRanges = false
  mkdirSync(rig.folder)
  keep(rig, 'left by another run')
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

transfer('a server that names no length is believed at its end', async ({ rig }) => {
  rig.hasLength = false
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

function keep(rig: Rig, bytes: string | Uint8Array, url = rig.cluster.image.url): void {
  mkdirSync(rig.folder, { recursive: true })
  writeFileSync(`${rig.folder}/compressed`, bytes)
  writeFileSync(`${rig.folder}/source`, `${url}\n${rig.etag ?? ''}\n${rig.body.length}\n`)
}

transfer(
  'what a killed run left is carried on, its half-made file thrown away',
  async ({ rig }) => {
    keep(rig, rig.body.subarray(0, 400_000))
    writeFileSync(`${rig.folder}/raw`, 'half')
    await rig.transfer()
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    assert.is(rig.requests[0], 'nocloud-amd64.raw.zst bytes=400000-')
  },
)

transfer('what has arrived completely is not asked for again', async ({ rig }) => {
  keep(rig, rig.body)
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.equal(rig.requests, ['nocloud-amd64.raw.zst.sha256'])
})

transfer('bytes kept from another URL are not mixed with the new ones', async ({ rig }) => {
  keep(rig, rig.body.subarray(0, 400_000), `${rig.cluster.image.url}.old`)
  await rig.transfer()
  assert.is(rig.requests[0], 'nocloud-amd64.raw.zst')
})

transfer(
  'bytes that changed at the factory meanwhile are not mixed with the old ones',
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

transfer('more kept bytes than there are now begin afresh', async ({ rig }) => {
  keep(rig, Buffer.alloc(rig.body.length + 10, 'x'))
  await rig.transfer()
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

transfer('damaged bytes are refused and removed; the next run begins afresh', async ({ rig }) => {
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
})

transfer('a file cut short at the factory itself is refused', async ({ rig }) => {
  rig.body = rig.body.subarray(0, rig.body.length - 1000)
  assert.is((await problemOf(rig.transfer())).code, 'IMAGE_DAMAGED')
  assert.not(existsSync(rig.path))
})

transfer('a web page instead of an image is refused', async () => {
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

transfer('an offered checksum is used', async ({ rig }) => {
  rig.checksum = `${sha256(rig.body)}  nocloud-amd64.raw.zst\n`
  await rig.transfer()
  assert.ok(existsSync(rig.path))
})

transfer('bytes that do not have the offered checksum are refused, with both', async ({ rig }) => {
  rig.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
  const problem = await problemOf(rig.transfer())
  assert.is(problem.code, 'IMAGE_CHECKSUM_DIFFERS')
  assert.match(problem.because ?? '', 'a'.repeat(64))
  assert.match(problem.because ?? '', sha256(rig.body))
  assert.not(existsSync(rig.path))
})

transfer(
  'other bytes under a known name are refused before they replace anything',
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

transfer('the same image, compressed anew, is accepted', async ({ rig }) => {
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

transfer('two runs at once put the image there once', async ({ rig }) => {
  rig.rate = 1_000_000
  await Promise.all([rig.transfer(), sleep(300).then(() => rig.transfer())])
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.equal(leftOvers(rig), [])
  assert.is(rig.requests.filter((line) => !line.includes('sha256')).length, 1)
})

transfer('progress is told in bytes, rate and time left', () => {
  const mib = 2 ** 20
  assert.is(
    describeProgress(50 * mib, 100 * mib, 20 * mib, 2000),
    '50 of 100 MiB, 10.0 MiB/s, 5 s left',
  )
  assert.is(describeProgress(50 * mib, 0, 20 * mib, 2000), '50 MiB, 10.0 MiB/s')
  assert.is(describeProgress(0, 0, 0, 0), '0 MiB')
})

transfer.run()
