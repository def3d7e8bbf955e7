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
import { rawImage, sha256, shortTimeouts, startLab, type Lab } from './support.ts'

const transfer = suite<{ lab: Lab }>('transfer')
transfer.before.each(async (context) => void Object.assign(context, { lab: await startLab() }))
transfer.after.each(({ lab }) => lab.close())

function leftOvers({ path }: Lab): string[] {
  return readdirSync(dirname(path)).filter((name) => name.includes('partial'))
}

transfer(
  'the image arrives whole, sparse, readable by QEMU, with nothing beside it',
  async ({ lab }) => {
    await lab.transfer()
    assert.ok(readFileSync(lab.path).equals(lab.raw))
    const { blocks, mode } = statSync(lab.path)
    assert.ok(blocks * 512 < lab.raw.length / 2, 'holes stay holes')
    assert.is(mode & 0o777, 0o644)
    assert.is(readdirSync(dirname(lab.path)).length, 2, 'image and ledger')
  },
)

transfer('both ledgers know both digests', async ({ lab }) => {
  await lab.transfer()
  const beside: unknown = JSON.parse(readFileSync(`${lab.path}.ledger.json`, 'utf8'))
  const here: unknown = JSON.parse(
    (await generatedFiles(lab.cluster).read('images.json')) ?? 'null',
  )
  for (const entry of [beside, Object.values(here as object)[0]] as Record<string, unknown>[]) {
    assert.equal(entry['raw'], { bytes: lab.raw.length, sha256: sha256(lab.raw) })
    assert.equal(entry['compressed'], { bytes: lab.body.length, sha256: sha256(lab.body) })
    assert.is(entry['url'], lab.cluster.image.url)
    assert.is(entry['schematic'], lab.cluster.schematic.id)
    assert.is(entry['version'], 'v1.13.9')
    assert.is(entry['compression'], 'zst')
  }
})

for (const compression of ['xz', 'gz', 'none'] as const)
  transfer(`IMAGE_COMPRESSION=${compression} gives the same bytes, sparse`, async () => {
    const lab = await startLab(compression)
    try {
      await lab.transfer()
      assert.ok(readFileSync(lab.path).equals(lab.raw))
      assert.ok(statSync(lab.path).blocks * 512 < lab.raw.length / 2)
    } finally {
      lab.close()
    }
  })

transfer('an image that ends in a hole keeps its length', async ({ lab }) => {
  const raw = rawImage(5 * 2 ** 20 + 4096)
  lab.body = await lab.compress(raw)
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(raw))
})

transfer(
  'a transfer that is cut again and again is carried on from where it was',
  async ({ lab }) => {
    lab.cutAfter = 200_000
    await lab.transfer()
    assert.ok(readFileSync(lab.path).equals(lab.raw))
    const starts = lab.requests.map((line) => Number(/bytes=(\d+)-/.exec(line)?.[1] ?? 0))
    assert.ok(starts.length > 5 && (starts.at(-2) ?? 0) > (starts[1] ?? 0), lab.requests.join('\n'))
  },
)

transfer('a transfer that stalls is given up and carried on', async ({ lab }) => {
  lab.stallAfter = 500_000
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.ok(
    lab.requests.some((line) => line.endsWith('bytes=500000-')),
    lab.requests.join('\n'),
  )
})

transfer('a factory that builds the image first is waited for', async ({ lab }) => {
  lab.delayMs = 2500
  await lab.transfer()
  assert.ok(existsSync(lab.path))
})

transfer('a factory that never answers is named', async ({ lab }) => {
  lab.delayMs = 60_000
  const problem = await problemOf(
    transferImage(lab.path, {
      cluster: lab.cluster,
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
  async ({ lab }) => {
    lab.cutAfter = 0
    const problem = await problemOf(lab.transfer())
    assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
    assert.match(problem.because ?? '', 'curl')
    assert.not(existsSync(lab.path))
  },
)

transfer('5xx and 429 are tried again', async ({ lab }) => {
  lab.statuses = [500, 503, 429]
  await lab.transfer()
  assert.ok(existsSync(lab.path))
})

transfer('a lasting 5xx is told in the words of the factory', async ({ lab }) => {
  lab.statuses = Array.from({ length: 20 }, () => 503)
  const problem = await problemOf(lab.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 503')
})

transfer('a 404 is not tried again', async ({ lab }) => {
  lab.statuses = [404]
  const problem = await problemOf(lab.transfer())
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 404')
  assert.is(lab.requests.length, 1)
})

transfer(
  'nobody there is told with the reason, and the way out through this machine',
  async ({ lab }) => {
    lab.settings({ TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
    const problem = await problemOf(lab.transfer())
    assert.is(problem.code, 'FACTORY_UNREACHABLE')
    assert.match(problem.because ?? '', 'curl: (7)')
  },
)

transfer('redirects are followed', async ({ lab }) => {
  const target = lab.cluster.settings.TALOS_FACTORY_URL
  const from = createServer(({ url }, response) =>
    response.writeHead(302, { location: `${target}${url}` }).end('elsewhere'),
  )
  await new Promise<void>((resolve) => from.listen(0, '127.0.0.1', resolve))
  const { port } = from.address() as AddressInfo
  lab.settings({ TALOS_FACTORY_URL: `http://127.0.0.1:${port}` })
  try {
    await lab.transfer()
  } finally {
    from.close()
  }
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

transfer('a server without Range is asked for everything again', async ({ lab }) => {
  lab.hasRanges = false
  mkdirSync(lab.folder)
  keep(lab, 'left by another run')
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

transfer('a server that names no length is believed at its end', async ({ lab }) => {
  lab.hasLength = false
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

function keep(lab: Lab, bytes: string | Uint8Array, url = lab.cluster.image.url): void {
  mkdirSync(lab.folder, { recursive: true })
  writeFileSync(`${lab.folder}/compressed`, bytes)
  writeFileSync(`${lab.folder}/source`, `${url}\n${lab.etag ?? ''}\n${lab.body.length}\n`)
}

transfer(
  'what a killed run left is carried on, its half-made file thrown away',
  async ({ lab }) => {
    keep(lab, lab.body.subarray(0, 400_000))
    writeFileSync(`${lab.folder}/raw`, 'half')
    await lab.transfer()
    assert.ok(readFileSync(lab.path).equals(lab.raw))
    assert.is(lab.requests[0], 'nocloud-amd64.raw.zst bytes=400000-')
  },
)

transfer('what has arrived completely is not asked for again', async ({ lab }) => {
  keep(lab, lab.body)
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.equal(lab.requests, ['nocloud-amd64.raw.zst.sha256'])
})

transfer('bytes kept from another URL are not mixed with the new ones', async ({ lab }) => {
  keep(lab, lab.body.subarray(0, 400_000), `${lab.cluster.image.url}.old`)
  await lab.transfer()
  assert.is(lab.requests[0], 'nocloud-amd64.raw.zst')
})

transfer(
  'bytes that changed at the factory meanwhile are not mixed with the old ones',
  async ({ lab }) => {
    keep(lab, Buffer.alloc(400_000, 'x'))
    lab.etag = '"second"'
    await lab.transfer()
    assert.ok(readFileSync(lab.path).equals(lab.raw))
    assert.equal(lab.requests.slice(0, 2), [
      'nocloud-amd64.raw.zst bytes=400000-',
      'nocloud-amd64.raw.zst',
    ])
  },
)

transfer('more kept bytes than there are now begin afresh', async ({ lab }) => {
  keep(lab, Buffer.alloc(lab.body.length + 10, 'x'))
  await lab.transfer()
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

transfer('damaged bytes are refused and removed; the next run begins afresh', async ({ lab }) => {
  const good = lab.body
  lab.body = Buffer.from(good)
  lab.body.fill(0x55, 200_000, 200_100)
  const problem = await problemOf(lab.transfer())
  assert.is(problem.code, 'IMAGE_DAMAGED')
  assert.not(existsSync(lab.path))
  assert.not(existsSync(`${lab.folder}/compressed`))
  lab.body = good
  await lab.transfer()
  assert.equal(leftOvers(lab), [])
})

transfer('a file cut short at the factory itself is refused', async ({ lab }) => {
  lab.body = lab.body.subarray(0, lab.body.length - 1000)
  assert.is((await problemOf(lab.transfer())).code, 'IMAGE_DAMAGED')
  assert.not(existsSync(lab.path))
})

transfer('a web page instead of an image is refused', async () => {
  const lab = await startLab('none')
  lab.body = Buffer.from('<html>Please log in</html>'.repeat(100))
  try {
    const problem = await problemOf(lab.transfer())
    assert.is(problem.code, 'IMAGE_NOT_RAW')
    assert.not(existsSync(lab.path))
    assert.equal(leftOvers(lab), [])
  } finally {
    lab.close()
  }
})

transfer('an offered checksum is used', async ({ lab }) => {
  lab.checksum = `${sha256(lab.body)}  nocloud-amd64.raw.zst\n`
  await lab.transfer()
  assert.ok(existsSync(lab.path))
})

transfer('bytes that do not have the offered checksum are refused, with both', async ({ lab }) => {
  lab.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
  const problem = await problemOf(lab.transfer())
  assert.is(problem.code, 'IMAGE_CHECKSUM_DIFFERS')
  assert.match(problem.because ?? '', 'a'.repeat(64))
  assert.match(problem.because ?? '', sha256(lab.body))
  assert.not(existsSync(lab.path))
})

transfer(
  'other bytes under a known name are refused before they replace anything',
  async ({ lab }) => {
    await lab.transfer()
    const ledger = await generatedFiles(lab.cluster).read('images.json')
    await local.$`mv ${lab.path} ${lab.path}.aside`
    lab.body = await lab.compress(rawImage())
    const problem = await problemOf(lab.transfer())
    assert.is(problem.code, 'IMAGE_LEDGER_MISMATCH')
    assert.match(problem.because ?? '', sha256(lab.raw))
    assert.not(existsSync(lab.path))
    assert.is(await generatedFiles(lab.cluster).read('images.json'), ledger)
  },
)

transfer('the same image, compressed anew, is accepted', async ({ lab }) => {
  await lab.transfer()
  await local.$`rm ${lab.path}`
  lab.body = await lab.compress(lab.raw, 'xz')
  lab.settings({ IMAGE_COMPRESSION: 'xz' })
  await lab.transfer()
  assert.ok(existsSync(lab.path))
})

transfer('IMAGE_SHA256 pins the raw bytes', async ({ lab }) => {
  lab.settings({ IMAGE_SHA256: 'a'.repeat(64) })
  assert.is((await problemOf(lab.transfer())).code, 'IMAGE_PIN_DIFFERS')
  assert.not(existsSync(lab.path))
  lab.settings({ IMAGE_SHA256: sha256(lab.raw) })
  await lab.transfer()
  assert.ok(existsSync(lab.path))
})

transfer('two runs at once put the image there once', async ({ lab }) => {
  lab.rate = 1_000_000
  await Promise.all([lab.transfer(), sleep(300).then(() => lab.transfer())])
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.equal(leftOvers(lab), [])
  assert.is(lab.requests.filter((line) => !line.includes('sha256')).length, 1)
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
