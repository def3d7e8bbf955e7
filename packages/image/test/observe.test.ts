import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { generatedFiles, local, silentLog } from '@talosmith/core'
import { problemOf, recordingHost } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { applyChange } from '../src/apply.ts'
import { observeImage, observeImageIn, type ObservedImage } from '../src/observe.ts'
import { planDownload } from '../src/plan.ts'
import { rawImage, sha256, startLab, type Lab } from './support.ts'

const image = suite<{ lab: Lab }>('an image on a host')
image.before.each(async (context) => void Object.assign(context, { lab: await startLab() }))
image.after.each(({ lab }) => lab.close())

const look = ({ path, cluster }: Lab): Promise<ObservedImage> =>
  observeImageIn(dirname(path), local, cluster)

/** Plans and applies, as image:download does; gives back what it did. */
async function converge(lab: Lab): Promise<string[]> {
  // The pool of the test may be smaller than a Talos image asks for.
  const changes = planDownload(lab.cluster, { ...(await look(lab)), freeBytes: 2 ** 40 })
  const signal = new AbortController().signal
  for (const change of changes)
    await applyChange(change, { cluster: lab.cluster, host: local, log: silentLog, signal })
  return changes.map(({ kind }) => kind)
}

image('is seen with its ledgers, its left-overs and the room there is', async ({ lab }) => {
  const none = await look(lab)
  assert.is(none.file, undefined)
  assert.is(none.partialBytes, undefined)
  assert.ok(none.freeBytes > 0)
  assert.equal(none.missingTools, [])
  mkdirSync(lab.folder)
  assert.is((await look(lab)).partialBytes, 0)
  writeFileSync(`${lab.folder}/compressed`, 'abc')
  assert.is((await look(lab)).partialBytes, 3)
})

image('is downloaded once; after that there is nothing to do', async ({ lab }) => {
  assert.equal(await converge(lab), ['download-image'])
  assert.equal(await converge(lab), [])
})

image('that was there before us is hashed once, recorded, then left alone', async ({ lab }) => {
  writeFileSync(lab.path, lab.raw)
  assert.equal(await converge(lab), ['verify-image'])
  assert.match(readFileSync(`${lab.path}.ledger.json`, 'utf8'), sha256(lab.raw))
  assert.match((await generatedFiles(lab.cluster).read('images.json')) ?? '', sha256(lab.raw))
  assert.equal(await converge(lab), [])
})

image('that another cluster fetched is hashed once for this one', async ({ lab }) => {
  await converge(lab)
  await generatedFiles(lab.cluster).remove('images.json')
  assert.equal(await converge(lab), ['verify-image'])
  assert.equal(await converge(lab), [])
})

image('that was only touched is hashed once and left alone', async ({ lab }) => {
  await converge(lab)
  utimesSync(lab.path, new Date(), new Date(1000))
  assert.equal(await converge(lab), ['verify-image'])
  assert.equal(await converge(lab), [])
})

image('that was replaced behind our back is refused and left as it is', async ({ lab }) => {
  await converge(lab)
  const other = rawImage()
  writeFileSync(lab.path, other)
  const problem = await problemOf(converge(lab))
  assert.is(problem.code, 'IMAGE_LEDGER_MISMATCH')
  assert.match(problem.because ?? '', sha256(other))
  assert.ok(readFileSync(lab.path).equals(other))
})

image('whose ledger is unreadable is hashed anew', async ({ lab }) => {
  await converge(lab)
  writeFileSync(`${lab.path}.ledger.json`, '{"raw":')
  assert.equal(await converge(lab), ['verify-image'])
  assert.equal(await converge(lab), [])
})

image('is not looked for in a ledger of ours that is broken', async ({ lab }) => {
  await generatedFiles(lab.cluster).write('images.json', '{')
  assert.is((await problemOf(look(lab))).code, 'IMAGE_LEDGER_UNREADABLE')
})

image('beside which a killed run left something gets rid of it', async ({ lab }) => {
  await converge(lab)
  mkdirSync(lab.folder)
  writeFileSync(`${lab.folder}/compressed`, 'abc')
  assert.equal(await converge(lab), ['remove-partial'])
  assert.not(existsSync(lab.folder))
})

for (const [format, start] of Object.entries({
  qcow2: '514649fb',
  zstd: '28b52ffd',
  xz: 'fd377a58',
  gzip: '1f8b0800',
}))
  image(`that is ${format} is refused by name`, async ({ lab }) => {
    writeFileSync(lab.path, Buffer.concat([Buffer.from(start, 'hex'), Buffer.alloc(2000)]))
    const problem = await problemOf(converge(lab))
    assert.is(problem.code, 'IMAGE_NOT_RAW')
    assert.match(problem.because ?? '', format)
  })

image('that is empty is refused', async ({ lab }) => {
  writeFileSync(lab.path, '')
  assert.is((await problemOf(converge(lab))).code, 'IMAGE_NOT_RAW')
})

image('named by IMAGE_PATH needs no pool and one command', async ({ lab }) => {
  lab.settings({ IMAGE_PATH: '/images/talos.raw' })
  const host = recordingHost(() => 'file 1000 1.5\nfree 5\nmissing zstd\n')
  const seen = await observeImage(host, lab.cluster)
  assert.is(host.commands.length, 1)
  assert.equal(seen.file, { bytes: 1000, modified: '1.5' })
  assert.is(seen.path, '/images/talos.raw')
  assert.equal(seen.missingTools, ['zstd'])
})

image('on a host that is relayed to needs no curl there', async ({ lab }) => {
  lab.settings({ IMAGE_RELAY: 'true' })
  const host = recordingHost(() => 'free 5\n')
  await observeImageIn('/pool', host, lab.cluster)
  assert.not.match(host.commands[0] ?? '', 'curl')
  lab.settings({})
  await observeImageIn('/pool', host, lab.cluster)
  assert.match(host.commands[1] ?? '', 'curl sha256sum flock zstd')
})

image.run()
