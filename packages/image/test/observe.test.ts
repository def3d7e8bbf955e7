import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { generatedFiles, local, silentLog } from '@talosmith/core'
import { problemOf, recordingHost, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { applyImageChange } from '../src/apply.ts'
import { observeImage, observeImageIn, type ObservedImage } from '../src/observe.ts'
import { planDownload } from '../src/plan.ts'
import { hostWith } from './fake-virsh.ts'
import { rawImage, sha256, startRig, type Rig } from './support.ts'

const image = suite<{ rig: Rig }>('an image on a host')
image.before.each(async (context) => void Object.assign(context, { rig: await startRig() }))
image.after.each(({ rig }) => rig.close())

const observe = ({ path, cluster }: Rig): Promise<ObservedImage> =>
  observeImageIn(dirname(path), local, cluster)

/** Plans and applies, as image:download does; returns the kinds of changes. */
async function converge(rig: Rig): Promise<string[]> {
  // The pool of the test may be too small for a Talos image.
  const changes = planDownload(rig.cluster, { ...(await observe(rig)), freeBytes: 2 ** 40 })
  const signal = new AbortController().signal
  for (const change of changes)
    await applyImageChange(change, { cluster: rig.cluster, host: local, log: silentLog, signal })
  return changes.map(({ kind }) => kind)
}

image(
  'is observed with its ledgers, an unfinished transfer and the free space',
  async ({ rig }) => {
    const none = await observe(rig)
    assert.is(none.file, undefined)
    assert.is(none.partialBytes, undefined)
    assert.ok(none.freeBytes > 0)
    assert.equal(none.missingTools, [])
    mkdirSync(rig.folder)
    assert.is((await observe(rig)).partialBytes, 0)
    writeFileSync(`${rig.folder}/compressed`, 'abc')
    assert.is((await observe(rig)).partialBytes, 3)
  },
)

image('is downloaded once; a second run has nothing to do', async ({ rig }) => {
  assert.equal(await converge(rig), ['download-image'])
  assert.equal(await converge(rig), [])
})

image('that already existed is hashed once, recorded, then left alone', async ({ rig }) => {
  writeFileSync(rig.path, rig.raw)
  assert.equal(await converge(rig), ['verify-image'])
  assert.match(readFileSync(`${rig.path}.ledger.json`, 'utf8'), sha256(rig.raw))
  assert.match((await generatedFiles(rig.cluster).read('images.json')) ?? '', sha256(rig.raw))
  assert.equal(await converge(rig), [])
})

image('that another cluster downloaded is hashed once for this one', async ({ rig }) => {
  await converge(rig)
  await generatedFiles(rig.cluster).remove('images.json')
  assert.equal(await converge(rig), ['verify-image'])
  assert.equal(await converge(rig), [])
})

image('with another modification time is hashed once and left alone', async ({ rig }) => {
  await converge(rig)
  utimesSync(rig.path, new Date(), new Date(1000))
  assert.equal(await converge(rig), ['verify-image'])
  assert.equal(await converge(rig), [])
})

image('that was replaced by another one is rejected and not changed', async ({ rig }) => {
  await converge(rig)
  const other = rawImage()
  writeFileSync(rig.path, other)
  const problem = await problemOf(converge(rig))
  assert.is(problem.code, 'IMAGE_LEDGER_MISMATCH')
  assert.match(problem.because ?? '', sha256(other))
  assert.ok(readFileSync(rig.path).equals(other))
})

image('with an unreadable ledger is hashed again', async ({ rig }) => {
  await converge(rig)
  writeFileSync(`${rig.path}.ledger.json`, '{"raw":')
  assert.equal(await converge(rig), ['verify-image'])
  assert.equal(await converge(rig), [])
})

image('is not observed when images.json is unreadable', async ({ rig }) => {
  await generatedFiles(rig.cluster).write('images.json', '{')
  assert.is((await problemOf(observe(rig))).code, 'IMAGE_LEDGER_UNREADABLE')
})

image('with an interrupted transfer beside it gets that removed', async ({ rig }) => {
  await converge(rig)
  mkdirSync(rig.folder)
  writeFileSync(`${rig.folder}/compressed`, 'abc')
  assert.equal(await converge(rig), ['remove-partial'])
  assert.not(existsSync(rig.folder))
})

for (const [format, start] of Object.entries({
  qcow2: '514649fb',
  zstd: '28b52ffd',
  xz: 'fd377a58',
  gzip: '1f8b0800',
}))
  image(`that is ${format} is rejected with that format`, async ({ rig }) => {
    writeFileSync(rig.path, Buffer.concat([Buffer.from(start, 'hex'), Buffer.alloc(2000)]))
    const problem = await problemOf(converge(rig))
    assert.is(problem.code, 'IMAGE_NOT_RAW')
    assert.match(problem.because ?? '', format)
  })

image('that is empty is rejected', async ({ rig }) => {
  writeFileSync(rig.path, '')
  assert.is((await problemOf(converge(rig))).code, 'IMAGE_NOT_RAW')
})

image('named by IMAGE_PATH needs no pool and one command', async ({ rig }) => {
  rig.settings({ IMAGE_PATH: '/images/talos.raw' })
  const host = recordingHost(() => 'file 1000 1.5\nfree 5\nmissing zstd\n')
  const observed = await observeImage(host, rig.cluster)
  assert.is(host.commands.length, 1)
  assert.equal(observed.file, { bytes: 1000, modified: '1.5' })
  assert.is(observed.path, '/images/talos.raw')
  assert.equal(observed.missingTools, ['zstd'])
})

image('for a host with IMAGE_RELAY needs no curl there', async ({ rig }) => {
  rig.settings({ IMAGE_RELAY: 'true' })
  const host = recordingHost(() => 'free 5\n')
  await observeImageIn('/pool', host, rig.cluster)
  assert.not.match(host.commands[0] ?? '', 'curl')
  rig.settings({})
  await observeImageIn('/pool', host, rig.cluster)
  assert.match(host.commands[1] ?? '', 'curl sha256sum flock zstd')
})

image('in a folder that does not exist is not taken for one without space', async ({ rig }) => {
  const gone = `${dirname(rig.path)}/gone`
  const observed = await observeImageIn(gone, local, rig.cluster)
  assert.match(observed.folderError ?? '', `${gone}/.: No such file or directory`)
  const problem = await problemOf((async () => planDownload(rig.cluster, observed))())
  assert.is(problem.code, 'POOL_UNREADABLE')
  assert.match(problem.hint ?? '', `ls -ld ${gone}`)
})

image(
  'is not transferred into a folder that has gone meanwhile, and does not create it',
  async ({ rig }) => {
    const changes = planDownload(rig.cluster, { ...(await observe(rig)), freeBytes: 2 ** 40 })
    rmSync(dirname(rig.path), { recursive: true })
    const signal = new AbortController().signal
    const context = { cluster: rig.cluster, host: local, log: silentLog, signal }
    const [change] = changes
    if (change === undefined) throw new Error('nothing is planned')
    const problem = await problemOf(applyImageChange(change, context))
    assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
    assert.match(problem.because ?? '', 'No such file or directory')
    assert.not(existsSync(dirname(rig.path)))
  },
)

const machine = (cluster: string, name: string, disk: string, note = 'created'): string =>
  `<domain><name>${name}</name><metadata>
    <t:machine xmlns:t='https://talosmith.dev/xmlns/machine/1.0' cluster='${cluster}' node='${name}'>
      <t:disk file='${disk}'/><t:seed file='/pool/${name}-seed.iso'/>
    </t:machine>
    <d:disk xmlns:d='https://talosmith.dev/xmlns/disk/1.0' state='${note}'/>
  </metadata></domain>`

const [own, seed] = ['/pool/home-w1.qcow2', '/pool/home-w1-seed.iso']
for (const [title, xml, files, lost, running = ''] of [
  ['that lost every disk', machine('home', 'home-w1', own), '', 1],
  ['with a disk', machine('home', 'home-w1', own), `${own}\n`, 0],
  ['with a seed ISO', machine('home', 'home-w1', own), `${seed}\n`, 0],
  ['with a disk that no machine has', machine('home', 'home-w1', own), '/pool/home-w9.qcow2\n', 0],
  ['before disks are created', machine('home', 'home-w1', own, 'none'), '', 0],
  ['below a machine that runs', machine('home', 'home-w1', own, 'none'), '', 1, 'aa-1\n'],
  ['with the machines of another cluster', machine('site', 'site-w1', '/pool/a.qcow2'), '', 0],
  ['whose machines have disks elsewhere', machine('home', 'home-w1', '/srv/a.qcow2'), '', 0],
  ['beside a clone made by hand', machine('home', 'x', '/pool/x').replace('>x<', '>y<'), '', 0],
] as const)
  image(`is missing in a pool ${title}`, async ({ rig }) => {
    const answers = {
      'list --all': 'aa-1\n',
      'list --uuid': running,
      'dumpxml --inactive aa-1': xml,
    }
    const host = hostWith(answers, (command) =>
      command.includes('for file in /pool') ? files : 'free 5\n',
    )
    const { lostDisks } = await observeImage(host, testCluster({}, rig.cluster.root))
    assert.equal(lostDisks, lost === 0 ? [] : ['/pool/home-w1.qcow2'])
  })

image('that is there needs no look at machines', async ({ rig }) => {
  const host = hostWith({ list: undefined }, () => 'file 1000 1.5\nfree 5\n')
  await observeImage(host, rig.cluster)
  assert.not.ok(host.commands.some((command) => /dumpxml --inactive/.test(command)))
})

image.run()
