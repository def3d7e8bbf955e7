import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hostWith } from './fake-virsh.ts'
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
  folders: readonly string[] = [],
): Promise<StoredImages> =>
  observeImagesIn(pool, local, { machines: new Map(Object.entries(disks)), folders })

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
    for (const change of changes)
      await applyPrune(change, { host: local, pool: 'default' }, () => observe(pool))
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
    [
      'a disk outside the pool, through a snapshot of a snapshot',
      (_, image) => {
        const outside = temporaryFolder('outside')
        const disk = addDisk(outside, 'a.qcow2', image)
        const first = addDisk(outside, 'b.qcow2', disk)
        return { [addDisk(outside, 'c.qcow2', first)]: 'c' }
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
        await applyPrune(change, { host: local, pool: 'default' }, () => observe(pool))
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

  stored('a disk without a machine in another pool keeps its image', async ({ pool }) => {
    const other = temporaryFolder('other-pool')
    addDisk(other, 'old.qcow2', addImage(pool, 'v1.13.9'))
    assert.equal(planPrune([await observe(pool, {}, [other])]), [])
  })

  stored('a chain that is broken above its end prevents removing images', async ({ pool }) => {
    const middle = addDisk(temporaryFolder('unmounted'), 'a.qcow2', addImage(pool, 'v1.13.9'))
    addDisk(pool, 'b.qcow2', middle)
    rmSync(middle)
    const observed = await observe(pool)
    assert.equal(observed.unreadable, [join(pool, 'b.qcow2')])
    assert.is(
      (await problemOf(Promise.resolve().then(() => planPrune([observed])))).code,
      'IMAGE_USE_UNKNOWN',
    )
  })

  stored('a missing disk of a machine prevents removing images', async ({ pool }) => {
    addImage(pool, 'v1.13.9')
    const observed = await observe(pool, { '/not-mounted/a.qcow2': 'web' })
    const problem = await problemOf(Promise.resolve().then(() => planPrune([observed])))
    assert.match(problem.because ?? '', '/not-mounted/a.qcow2 of machine web: no such file')
  })

  stored('an image that is used since the plan was made is kept', async ({ pool }) => {
    const path = addImage(pool, 'v1.13.9')
    const [change] = planPrune([await observe(pool)])
    if (change === undefined) throw new Error('nothing is planned')
    addDisk(pool, 'home-w1.qcow2', path)
    assert.is(
      (await problemOf(applyPrune(change, { host: local, pool: 'default' }, () => observe(pool))))
        .code,
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

const image = `/pool/${imageName('v1.13.9')}`
const fileDisk = (path: string, more = ''): string =>
  `<disk type='file'>${more}<source file='${path}'/></disk>`
const machineXml = (name: string, disks: string): string =>
  `<domain><name>${name}</name><devices>${disks}</devices></domain>`

stored('observes the disks of all machines, in persistent and running definitions', async () => {
  const chain = "<backingStore type='file'><source file='/srv/base.qcow2'/></backingStore>"
  const host = hostWith(
    {
      'list --all --uuid': 'aa-1\nbb-2\n',
      'dumpxml aa-1': machineXml('old one', fileDisk('/srv/top.qcow2', chain)),
      'dumpxml --inactive aa-1': machineXml('old one', fileDisk('/srv/next start.qcow2')),
      'dumpxml bb-2': machineXml('3', "<disk type='block'><source dev='/dev/vg/a'/></disk>"),
      'dumpxml --inactive bb-2': machineXml('3', ''),
    },
    () => `image 1:2 5 8 - ${image}\nuses 1:2 /srv/next start.qcow2\nuses 1:2 /dev/vg/a`,
  )
  const observed = await observeImages(host, testCluster())
  assert.equal(observed.images[0]?.usedBy, ['3', 'old one'])
  const search = host.commands.at(-1) ?? ''
  for (const path of ['/srv/top.qcow2', '/srv/base.qcow2', '/dev/vg/a']) assert.match(search, path)
})

stored('only disks that may have a backing file must exist', async () => {
  const disks = [
    fileDisk('/srv/raw', "<driver type='raw'/>"),
    "<disk type='file' device='cdrom'><source file='/srv/gone.iso'/></disk>",
    fileDisk('/srv/gone.qcow2', "<driver type='qcow2'/>"),
  ].join('')
  const host = hostWith({ 'list --all --uuid': 'a', dumpxml: machineXml('web', disks) }, () =>
    ['/srv/raw', '/srv/gone.iso', '/srv/gone.qcow2'].map((path) => `absent ${path}`).join('\n'),
  )
  const { unreadable } = await observeImages(host, testCluster())
  assert.equal(unreadable, ['/srv/gone.qcow2 of machine web: no such file'])
})

stored('a machine whose definition cannot be read prevents removing images', async () => {
  const host = hostWith({ 'list --all --uuid': 'a', dumpxml: undefined }, () => '')
  const { unreadable } = await observeImages(host, testCluster())
  assert.match(unreadable.join(), 'machine a: no such pool')
})

/** A host on which machine `old` has volume a.qcow2 of pool `srv&co` with the path `path`. */
const withVolume = (path: string | undefined) =>
  hostWith(
    {
      'list --all --uuid': 'a',
      dumpxml: machineXml(
        'old',
        "<disk type='volume'><source pool='srv&amp;co' volume='a.qcow2' index='1'/></disk>",
      ),
      "vol-path --pool 'srv&co' a.qcow2": path,
    },
    (command) =>
      `image 1:2 5 8 - ${image}\nledger ${ledger('v1.13.9').replaceAll('\n', '')}${command.includes('/srv/a.qcow2') ? '\nuses 1:2 /srv/a.qcow2' : ''}`,
  )

stored('a disk that is a volume of another pool keeps its image', async () => {
  const observed = await observeImages(withVolume('/srv/a.qcow2'), testCluster())
  assert.equal(observed.images[0]?.usedBy, ['old'])
  assert.equal(planPrune([observed]), [])
})

stored('a volume that libvirt does not find prevents removing images', async () => {
  const observed = await observeImages(withVolume(undefined), testCluster())
  const problem = await problemOf(Promise.resolve().then(() => planPrune([observed])))
  assert.is(problem.code, 'IMAGE_USE_UNKNOWN')
  assert.match(problem.because ?? '', 'volume a.qcow2 of pool srv')
})

stored.run()
