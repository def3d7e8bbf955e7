import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { problemOf, recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { applyPrune, describeKept, planPrune, renderImages } from '../src/prune.ts'
import { observeImages, observeImagesIn, type StoredImages } from '../src/stored.ts'

const stored = suite<{ pool: string }>('images in a pool')
stored.before.each((context) => {
  context.pool = temporaryFolder('images')
})

const imageName = (version: string): string => `talos-${version}-0123456789ab-nocloud-amd64.raw`
const ledger = (version: string): string =>
  JSON.stringify(
    { version, schematic: '0123456789abcdef', modified: '1', raw: { sha256: 'x' } },
    null,
    2,
  )

function addImage(pool: string, version: string, isOurs = true): string {
  const path = join(pool, imageName(version))
  writeFileSync(path, Buffer.alloc(2 ** 20))
  if (isOurs) writeFileSync(`${path}.ledger.json`, ledger(version))
  return path
}
function addDisk(pool: string, name: string, base: string): string {
  const path = join(pool, name)
  const format = base.endsWith('.qcow2') ? 'qcow2' : 'raw'
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', format, '-b', base, path, '2M'])
  return path
}
const look = (pool: string, disks: Readonly<Record<string, string>> = {}): Promise<StoredImages> =>
  observeImagesIn(pool, local, new Map(Object.entries(disks)))

if (existsSync('/usr/bin/qemu-img')) {
  stored('one that nothing backs onto goes, with its ledger', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.8')
    const used = addImage(pool, 'v1.13.9')
    const disk = addDisk(pool, 'home-w1.qcow2', used)
    const seen = await look(pool, { [disk]: 'home-w1' })
    const changes = planPrune([seen])
    assert.equal(
      changes.map(({ target }) => target),
      [path],
    )
    for (const change of changes) await applyPrune(change, local, () => look(pool))
    assert.equal(readdirSync(pool).sort(), [
      'home-w1.qcow2',
      imageName('v1.13.9'),
      `${imageName('v1.13.9')}.ledger.json`,
    ])
    assert.match(describeKept([seen]).join(), `${used} on this machine: used by home-w1`)
  })

  const uses: [string, (pool: string, image: string) => Record<string, string>][] = [
    ['a machine', (pool, image) => ({ [addDisk(pool, 'a.qcow2', image)]: 'a' })],
    ['a disk without a machine', (pool, image) => (addDisk(pool, 'a.qcow2', image), {})],
    [
      'a snapshot of a disk',
      (pool, image) => ({ [addDisk(pool, 'b', addDisk(pool, 'a.qcow2', image))]: 'b' }),
    ],
    ['a machine of somebody else, itself', (_, image) => ({ [image]: 'theirs' })],
    [
      'a disk that names it through a link',
      (pool, image) => {
        symlinkSync(image, join(pool, 'link.raw'))
        return { [addDisk(pool, 'a.qcow2', join(pool, 'link.raw'))]: 'a' }
      },
    ],
  ]
  for (const [who, use] of uses)
    stored(`one that is used by ${who} stays`, async ({ pool }) => {
      const disks = use(pool, addImage(pool, 'v1.13.9'))
      const seen = await look(pool, disks)
      assert.equal(planPrune([seen]), [])
      assert.ok((seen.images[0]?.usedBy.length ?? 0) > 0)
    })

  stored('one without our ledger is left alone, and named', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9', false)
    writeFileSync(join(pool, 'debian.raw'), '')
    const seen = await look(pool)
    assert.equal(planPrune([seen]), [])
    assert.match(describeKept([seen]).join(), `${path} on this machine: no ledger`)
    assert.not.match(describeKept([seen]).join(), 'debian')
  })

  stored('what a killed removal left goes at the next', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9')
    rmSync(path)
    for (const change of planPrune([await look(pool)]))
      await applyPrune(change, local, () => look(pool))
    assert.equal(readdirSync(pool), [])
  })

  stored('a disk that cannot be read keeps all images from going', async ({ pool }) => {
    addImage(pool, 'v1.13.9')
    writeFileSync(join(pool, 'broken.qcow2'), 'QFI\xfb and no more', 'latin1')
    const seen = await look(pool)
    const problem = await problemOf(Promise.resolve().then(() => planPrune([seen])))
    assert.is(problem.code, 'IMAGE_USE_UNKNOWN')
    assert.match(problem.because ?? '', 'broken.qcow2')
  })

  stored('a disk whose own base is gone keeps no other image', async ({ pool }) => {
    const gone = addImage(pool, 'v1.13.8')
    addDisk(pool, 'a.qcow2', gone)
    rmSync(gone)
    rmSync(`${gone}.ledger.json`)
    const path = addImage(pool, 'v1.13.9')
    assert.equal(
      planPrune([await look(pool)]).map(({ target }) => target),
      [path],
    )
  })

  stored('one that comes into use after the plan stays', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9')
    const [change] = planPrune([await look(pool)])
    if (change === undefined) throw new Error('nothing is planned')
    addDisk(pool, 'home-w1.qcow2', path)
    assert.is((await problemOf(applyPrune(change, local, () => look(pool)))).code, 'IMAGE_IN_USE')
    assert.ok(existsSync(path))
  })

  stored('the list says version, schematic, size and users', async ({ pool }) => {
    addDisk(pool, 'stray.qcow2', addImage(pool, 'v1.13.9'))
    const [, row = ''] = renderImages([await look(pool)]).split('\n')
    assert.match(row, /v1\.13\.9 +0123456789ab +1 MiB +\S+stray\.qcow2$/)
  })
} else stored.skip('no qemu-img on this machine')

stored('the disks of all machines are asked after, what is defined and what runs', async () => {
  const pool = '/var/lib/libvirt/images'
  const image = `${pool}/${imageName('v1.13.9')}`
  const host = recordingHost((command) => {
    const mark = /echo --err ([\w.-]+)/.exec(command)?.[1]
    if (mark === undefined)
      return command.startsWith('virsh')
        ? 'home-w1\nold one\n'
        : `image 1:2 5 8 - ${image}\nuses 1:2 /srv/a disk.qcow2`
    const said = command.includes('domblklist')
      ? [
          ' file   disk   vda   /srv/a disk.qcow2\n network disk vdb rbd/x',
          '',
          ' file cdrom sda -',
          '',
        ]
      : [`<pool type='dir'><target><path>${pool}</path></target></pool>`, 'default', 'default']
    return {
      stdout: said.map((one) => `${one}\n${mark}\n`).join(''),
      stderr: said.map(() => `error: ${mark}\n`).join(''),
    }
  })
  const seen = await observeImages(host, testCluster())
  assert.equal(seen.images[0]?.usedBy, ['home-w1'])
  assert.match(host.commands.join('\n'), /domblklist 'old one'|domblklist '\\''old one'\\''/)
  assert.is(host.commands.filter((command) => command.startsWith('virsh')).length, 3)
})

/** A host on which machine `old` has volume a.qcow2 of pool `srv&co`, whose path is what `path` says. */
const withVolume = (image: string, path: string | undefined) =>
  recordingHost((command) => {
    const mark = /echo --err ([\w.-]+)/.exec(command)?.[1]
    if (mark === undefined)
      return command.startsWith('virsh')
        ? 'old\n'
        : `image 1:2 5 8 - ${image}\nledger ${ledger('v1.13.9').replaceAll('\n', '')}${command.includes('/srv/a.qcow2') ? '\nuses 1:2 /srv/a.qcow2' : ''}`
    const disk = "<disk type='volume'><source pool='srv&amp;co' volume='a.qcow2' index='1'/></disk>"
    const said = command.includes('domblklist')
      ? [' volume   disk   vda   a.qcow2', ' volume   disk   vda   a.qcow2']
      : command.includes('dumpxml old') || command.includes('dumpxml --inactive old')
        ? [disk, disk]
        : command.includes('vol-path') && command.includes('srv&co')
          ? [path, path]
          : ["<pool type='dir'><target><path>/pool</path></target></pool>", 'default', 'default']
    return {
      stdout: said.map((one) => `${one === undefined ? '' : `${one}\n`}${mark}\n`).join(''),
      stderr: said
        .map((one) => `${one === undefined ? 'error: no such pool\n' : ''}error: ${mark}\n`)
        .join(''),
    }
  })

stored('a machine whose disk is a volume of another pool keeps its image', async () => {
  const image = `/pool/${imageName('v1.13.9')}`
  const seen = await observeImages(withVolume(image, '/srv/a.qcow2'), testCluster())
  assert.equal(seen.images[0]?.usedBy, ['old'])
  assert.equal(planPrune([seen]), [])
})

stored('a volume that libvirt does not find keeps all images from going', async () => {
  const image = `/pool/${imageName('v1.13.9')}`
  const seen = await observeImages(withVolume(image, undefined), testCluster())
  const problem = await problemOf(Promise.resolve().then(() => planPrune([seen])))
  assert.is(problem.code, 'IMAGE_USE_UNKNOWN')
  assert.match(problem.because ?? '', 'volume a.qcow2 of pool srv')
})

stored.run()
