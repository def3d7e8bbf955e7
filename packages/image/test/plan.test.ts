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
const missing: ObservedImage = {
  host: 'root@kvm1',
  path: '/pool/image.raw',
  file: undefined,
  hostLedger: undefined,
  ledger: undefined,
  partialBytes: undefined,
  freeBytes: 10 * 2 ** 30,
  folderError: undefined,
  missingTools: [],
  lostDisks: [],
}
const recorded: ObservedImage = {
  ...missing,
  file: { bytes: 1000, modified },
  hostLedger: entry,
  ledger: entry,
}
const kinds = (observed: ObservedImage, of = cluster): string[] =>
  planDownload(of, observed).map(({ kind }) => kind)
const refusal = (observed: ObservedImage, of = cluster): string => {
  try {
    planDownload(of, observed)
  } catch (error) {
    return (error as Problem).code
  }
  return 'none'
}

test('downloads a missing image', () => {
  assert.equal(kinds(missing), ['download-image'])
})
test('the plan is empty when the image is as recorded', () => {
  assert.equal(kinds(recorded), [])
})
test('refuses to download into a folder that lost every disk, before anything else', () => {
  const lost = {
    ...missing,
    lostDisks: ['/pool/home-cp1.qcow2'],
    missingTools: ['zstd'],
  }
  assert.is(refusal(lost), 'POOL_EMPTY')
  assert.is(refusal({ ...lost, partialBytes: 5 }), 'POOL_EMPTY')
})
test('resumes an interrupted transfer', () => {
  const [change] = planDownload(cluster, { ...missing, partialBytes: 50 * 2 ** 20 })
  assert.match(change?.summary ?? '', 'resuming after 50 MiB')
})
test('verifies an image without a record', () => {
  assert.equal(kinds({ ...recorded, hostLedger: undefined, ledger: undefined }), ['verify-image'])
})
test('verifies an image that was replaced', () => {
  assert.equal(kinds({ ...recorded, file: { bytes: 1000, modified: '1763900009.0' } }), [
    'verify-image',
  ])
  assert.equal(kinds({ ...recorded, file: { bytes: 999, modified } }), ['verify-image'])
})
test('the change of a replaced image has its size and time and the recorded ones', () => {
  const file = { bytes: 999, modified: '1763900009.0' }
  const [change] = planDownload(cluster, { ...recorded, file })
  assert.is(change?.from, '999 bytes, changed 2025-11-23T12:13:29.000Z')
  assert.is(change?.to, '1000 bytes, as recorded 2026-11-23T00:00:00Z')
})
test('verifies when the two ledgers disagree', () => {
  const other = { ...entry, raw: { bytes: 1000, sha256: 'b'.repeat(64) } }
  assert.equal(kinds({ ...recorded, ledger: other }), ['verify-image'])
})
test('rejects an IMAGE_SHA256 that contradicts the ledger, before the download', () => {
  const pinned = testCluster({ IMAGE_SHA256: 'c'.repeat(64) })
  assert.is(refusal(recorded, pinned), 'IMAGE_PIN_DIFFERS')
  assert.is(refusal({ ...missing, ledger: entry }, pinned), 'IMAGE_PIN_DIFFERS')
})
test('verifies when IMAGE_SHA256 differs from the ledger on the host', () => {
  const pinned = testCluster({ IMAGE_SHA256: 'c'.repeat(64) })
  assert.equal(kinds({ ...recorded, ledger: undefined }, pinned), ['verify-image'])
})
test('removes an interrupted transfer beside a verified image', () => {
  assert.equal(kinds({ ...recorded, partialBytes: 0 }), ['remove-partial'])
})
test('counts the partial download as free space', () => {
  const mib = 2 ** 20
  assert.is(refusal({ ...missing, freeBytes: 1600 * mib }), 'POOL_FULL')
  assert.is(refusal({ ...missing, freeBytes: 1600 * mib, partialBytes: 100 * mib }), 'none')
})
test('an uncompressed image needs twice the space', () => {
  const plain = testCluster({ IMAGE_COMPRESSION: 'none' })
  assert.is(refusal({ ...missing, freeBytes: 2000 * 2 ** 20 }, plain), 'POOL_FULL')
  assert.is(refusal({ ...missing, freeBytes: 2600 * 2 ** 20 }, plain), 'none')
})
test('rejects a full pool', () => {
  assert.is(refusal({ ...missing, freeBytes: 2 ** 20 }), 'POOL_FULL')
})
test('a folder that cannot be read is named as such, not as a full one', () => {
  const gone = { ...missing, freeBytes: 0, folderError: 'df: /pool/.: No such file or directory' }
  assert.is(refusal(gone), 'POOL_UNREADABLE')
  assert.is(refusal({ ...gone, lostDisks: ['/pool/home-cp1.qcow2'] }), 'POOL_EMPTY')
})
test('rejects a host without the decompressor', () => {
  assert.is(refusal({ ...missing, missingTools: ['zstd'] }), 'HOST_TOOLS_MISSING')
})
test('rejects an IMAGE_PATH that does not exist', () => {
  assert.is(refusal(missing, testCluster({ IMAGE_PATH: '/images/talos.raw' })), 'IMAGE_MISSING')
})
test('posts a schematic only if the factory does not have it', () => {
  const offer = { versions: [], extensions: [], hasSchematic: false }
  assert.equal(
    planBuild(cluster, offer).map(({ kind }) => kind),
    ['post-schematic'],
  )
  assert.equal(planBuild(cluster, { ...offer, hasSchematic: true }), [])
})

test.run()
