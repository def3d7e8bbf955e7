import { testCluster } from '@talosmith/core/testing'
import type { Problem } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HostLedger } from '../src/ledger.ts'
import type { ObservedImage } from '../src/observe.ts'
import { planBuild, planDownload } from '../src/plan.ts'

const cluster = testCluster()
const sha256 = 'a'.repeat(64)
const modified = '1763900000.000000001'
const entry: HostLedger = {
  url: cluster.image.url,
  schematic: cluster.schematic.id,
  version: 'v1.13.9',
  raw: { bytes: 1000, sha256 },
  at: '2026-11-23T00:00:00Z',
  modified,
}
const nothingThere: ObservedImage = {
  host: 'root@kvm1',
  path: '/pool/image.raw',
  file: undefined,
  hostLedger: undefined,
  ledger: undefined,
  partialBytes: undefined,
  freeBytes: 10 * 2 ** 30,
  missingTools: [],
}
const there: ObservedImage = {
  ...nothingThere,
  file: { bytes: 1000, modified },
  hostLedger: entry,
  ledger: entry,
}
const kinds = (seen: ObservedImage, of = cluster): string[] =>
  planDownload(of, seen).map(({ kind }) => kind)
const refusal = (seen: ObservedImage, of = cluster): string => {
  try {
    planDownload(of, seen)
  } catch (error) {
    return (error as Problem).code
  }
  return 'none'
}

test('downloads an image that is not there', () => {
  assert.equal(kinds(nothingThere), ['download-image'])
})
test('touches nothing when the image is as recorded', () => {
  assert.equal(kinds(there), [])
})
test('carries on a broken transfer and says so', () => {
  const [change] = planDownload(cluster, { ...nothingThere, partialBytes: 50 * 2 ** 20 })
  assert.match(change?.summary ?? '', 'carrying on after 50 MiB')
})
test('verifies an image that nobody recorded', () => {
  assert.equal(kinds({ ...there, hostLedger: undefined, ledger: undefined }), ['verify-image'])
})
test('verifies an image that was replaced behind our back', () => {
  assert.equal(kinds({ ...there, file: { bytes: 1000, modified: '1763900009.0' } }), [
    'verify-image',
  ])
  assert.equal(kinds({ ...there, file: { bytes: 999, modified } }), ['verify-image'])
})
test('a replaced image is shown with its own size and time beside the recorded ones', () => {
  const file = { bytes: 999, modified: '1763900009.0' }
  const [change] = planDownload(cluster, { ...there, file })
  assert.is(change?.from, '999 bytes, changed 2025-11-23T12:13:29.000Z')
  assert.is(change?.to, '1000 bytes, as recorded 2026-11-23T00:00:00Z')
})
test('verifies when the two ledgers disagree', () => {
  const other = { ...entry, raw: { bytes: 1000, sha256: 'b'.repeat(64) } }
  assert.equal(kinds({ ...there, ledger: other }), ['verify-image'])
})
test('refuses a pin that contradicts the ledger, before anything travels', () => {
  const pinned = testCluster({ IMAGE_SHA256: 'c'.repeat(64) })
  assert.is(refusal(there, pinned), 'IMAGE_PIN_DIFFERS')
  assert.is(refusal({ ...nothingThere, ledger: entry }, pinned), 'IMAGE_PIN_DIFFERS')
})
test('verifies when IMAGE_SHA256 pins other bytes than those recorded on the host', () => {
  const pinned = testCluster({ IMAGE_SHA256: 'c'.repeat(64) })
  assert.equal(kinds({ ...there, ledger: undefined }, pinned), ['verify-image'])
})
test('removes what a killed run left beside a good image', () => {
  assert.equal(kinds({ ...there, partialBytes: 0 }), ['remove-partial'])
})
test('counts what has arrived as room', () => {
  const mib = 2 ** 20
  assert.is(refusal({ ...nothingThere, freeBytes: 1600 * mib }), 'POOL_FULL')
  assert.is(refusal({ ...nothingThere, freeBytes: 1600 * mib, partialBytes: 100 * mib }), 'none')
})
test('an uncompressed image needs twice the room', () => {
  const plain = testCluster({ IMAGE_COMPRESSION: 'none' })
  assert.is(refusal({ ...nothingThere, freeBytes: 2000 * 2 ** 20 }, plain), 'POOL_FULL')
  assert.is(refusal({ ...nothingThere, freeBytes: 2600 * 2 ** 20 }, plain), 'none')
})
test('refuses a full pool, with numbers', () => {
  assert.is(refusal({ ...nothingThere, freeBytes: 2 ** 20 }), 'POOL_FULL')
})
test('refuses a host without the decompressor', () => {
  assert.is(refusal({ ...nothingThere, missingTools: ['zstd'] }), 'HOST_TOOLS_MISSING')
})
test('refuses an IMAGE_PATH that is not there', () => {
  assert.is(
    refusal(nothingThere, testCluster({ IMAGE_PATH: '/images/talos.raw' })),
    'IMAGE_MISSING',
  )
})
test('posts a schematic that the factory does not know, once', () => {
  const offer = { versions: [], extensions: [], hasSchematic: false }
  assert.equal(
    planBuild(cluster, offer).map(({ kind }) => kind),
    ['post-schematic'],
  )
  assert.equal(planBuild(cluster, { ...offer, hasSchematic: true }), [])
})

test.run()
