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
const observe = (
  pool: string,
  disks: Readonly<Record<string, string>> = {},
): Promise<StoredImages> => observeImagesIn(pool, local, new Map(Object.entries(disks)))

if (existsSync('/usr/bin/qemu-img')) {
  stored('an unused image is removed with its ledger', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.8')
    const used = addImage(pool, 'v1.13.9')
    const disk = addDisk(pool, 'home-w1.qcow2', used)
    const observed = await observe(pool, { [disk]: 'home-w1' })
    const changes = planPrune([observed])
    assert.equal(
      changes.map(({ target }) => target),
      [path],
    )
    for (const change of changes) await applyPrune(change, local, () => observe(pool))
    assert.equal(readdirSync(pool).sort(), [
      'home-w1.qcow2',
      imageName('v1.13.9'),
      `${imageName('v1.13.9')}.ledger.json`,
    ])
    assert.match(describeKept([observed]).join(), `${used} on this machine: used by home-w1`)
  })

  const uses: [string, (pool: string, image: string) => Record<string, string>][] = [
    ['a machine', (pool, image) => ({ [addDisk(pool, 'a.qcow2', image)]: 'a' })],
    ['a disk without a machine', (pool, image) => (addDisk(pool, 'a.qcow2', image), {})],
    [
      'a snapshot of a disk',
      (pool, image) => ({ [addDisk(pool, 'b', addDisk(pool, 'a.qcow2', image))]: 'b' }),
    ],
    ['a machine of another owner, directly', (_, image) => ({ [image]: 'theirs' })],
    [
      'a disk that uses it through a symbolic link',
      (pool, image) => {
        symlinkSync(image, join(pool, 'link.raw'))
        return { [addDisk(pool, 'a.qcow2', join(pool, 'link.raw'))]: 'a' }
      },
    ],
  ]
  for (const [who, use] of uses)
    stored(`an image that is used by ${who} is kept`, async ({ pool }) => {
      const disks = use(pool, addImage(pool, 'v1.13.9'))
      const observed = await observe(pool, disks)
      assert.equal(planPrune([observed]), [])
      assert.ok((observed.images[0]?.usedBy.length ?? 0) > 0)
    })

  stored('an image without a ledger is kept and reported', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9', false)
    writeFileSync(join(pool, 'debian.raw'), '')
    const observed = await observe(pool)
    assert.equal(planPrune([observed]), [])
    assert.match(describeKept([observed]).join(), `${path} on this machine: it has no ledger`)
    assert.not.match(describeKept([observed]).join(), 'debian')
  })

  stored(
    'the files that a killed removal has left are removed by the next one',
    async ({ pool }) => {
      const path = addImage(pool, 'v1.13.9')
      rmSync(path)
      for (const change of planPrune([await observe(pool)]))
        await applyPrune(change, local, () => observe(pool))
      assert.equal(readdirSync(pool), [])
    },
  )

  stored('a disk that cannot be read prevents removing images', async ({ pool }) => {
    addImage(pool, 'v1.13.9')
    writeFileSync(join(pool, 'broken.qcow2'), 'QFI\xfb and no more', 'latin1')
    const observed = await observe(pool)
    const problem = await problemOf(Promise.resolve().then(() => planPrune([observed])))
    assert.is(problem.code, 'IMAGE_USE_UNKNOWN')
    assert.match(problem.because ?? '', 'broken.qcow2')
  })

  stored('a disk with a missing backing file does not keep other images', async ({ pool }) => {
    const gone = addImage(pool, 'v1.13.8')
    addDisk(pool, 'a.qcow2', gone)
    rmSync(gone)
    rmSync(`${gone}.ledger.json`)
    const path = addImage(pool, 'v1.13.9')
    assert.equal(
      planPrune([await observe(pool)]).map(({ target }) => target),
      [path],
    )
  })

  stored('an image that is used since the plan was made is kept', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9')
    const [change] = planPrune([await observe(pool)])
    if (change === undefined) throw new Error('nothing is planned')
    addDisk(pool, 'home-w1.qcow2', path)
    assert.is(
      (await problemOf(applyPrune(change, local, () => observe(pool)))).code,
      'IMAGE_IN_USE',
    )
    assert.ok(existsSync(path))
  })

  stored('the list has version, schematic, size and users', async ({ pool }) => {
    addDisk(pool, 'orphan.qcow2', addImage(pool, 'v1.13.9'))
    const [, row = ''] = renderImages([await observe(pool)]).split('\n')
    assert.match(row, /v1\.13\.9 +0123456789ab +1 MiB +\S+orphan\.qcow2$/)
  })
} else stored.skip('no qemu-img on this machine')

stored('observes the disks of all machines, in persistent and running definitions', async () => {
  const pool = '/var/lib/libvirt/images'
  const image = `${pool}/${imageName('v1.13.9')}`
  const host = recordingHost((command) => {
    const separator = /echo --err ([\w.-]+)/.exec(command)?.[1]
    if (separator === undefined)
      return command.startsWith('virsh')
        ? 'home-w1\nold one\n'
        : `image 1:2 5 8 - ${image}\nuses 1:2 /srv/a disk.qcow2`
    const outputs = command.includes('domblklist')
      ? [
          ' file   disk   vda   /srv/a disk.qcow2\n network disk vdb rbd/x',
          '',
          ' file cdrom sda -',
          '',
        ]
      : [`<pool type='dir'><target><path>${pool}</path></target></pool>`, 'default', 'default']
    return {
      stdout: outputs.map((one) => `${one}\n${separator}\n`).join(''),
      stderr: outputs.map(() => `error: ${separator}\n`).join(''),
    }
  })
  const observed = await observeImages(host, testCluster())
  assert.equal(observed.images[0]?.usedBy, ['home-w1'])
  assert.match(host.commands.join('\n'), /domblklist 'old one'|domblklist '\\''old one'\\''/)
  assert.is(host.commands.filter((command) => command.startsWith('virsh')).length, 3)
})

/** A host on which machine `old` has volume a.qcow2 of pool `srv&co` with the path `path`. */
const withVolume = (image: string, path: string | undefined) =>
  recordingHost((command) => {
    const separator = /echo --err ([\w.-]+)/.exec(command)?.[1]
    if (separator === undefined)
      return command.startsWith('virsh')
        ? 'old\n'
        : `image 1:2 5 8 - ${image}\nledger ${ledger('v1.13.9').replaceAll('\n', '')}${command.includes('/srv/a.qcow2') ? '\nuses 1:2 /srv/a.qcow2' : ''}`
    const disk = "<disk type='volume'><source pool='srv&amp;co' volume='a.qcow2' index='1'/></disk>"
    const outputs = command.includes('domblklist')
      ? [' volume   disk   vda   a.qcow2', ' volume   disk   vda   a.qcow2']
      : command.includes('dumpxml old') || command.includes('dumpxml --inactive old')
        ? [disk, disk]
        : command.includes('vol-path') && command.includes('srv&co')
          ? [path, path]
          : ["<pool type='dir'><target><path>/pool</path></target></pool>", 'default', 'default']
    return {
      stdout: outputs.map((one) => `${one === undefined ? '' : `${one}\n`}${separator}\n`).join(''),
      stderr: outputs
        .map((one) => `${one === undefined ? 'error: no such pool\n' : ''}error: ${separator}\n`)
        .join(''),
    }
  })

stored('a disk that is a volume of another pool keeps its image', async () => {
  const image = `/pool/${imageName('v1.13.9')}`
  const observed = await observeImages(withVolume(image, '/srv/a.qcow2'), testCluster())
  assert.equal(observed.images[0]?.usedBy, ['old'])
  assert.equal(planPrune([observed]), [])
})

stored('a volume that libvirt does not find prevents removing images', async () => {
  const image = `/pool/${imageName('v1.13.9')}`
  const observed = await observeImages(withVolume(image, undefined), testCluster())
  const problem = await problemOf(Promise.resolve().then(() => planPrune([observed])))
  assert.is(problem.code, 'IMAGE_USE_UNKNOWN')
  assert.match(problem.because ?? '', 'volume a.qcow2 of pool srv')
})

stored.run()
