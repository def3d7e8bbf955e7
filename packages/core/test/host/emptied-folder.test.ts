import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hadDisk, isEmptied } from '../../src/host/emptied-folder.ts'
import { readFreeSpace } from '../../src/host/free-space.ts'

const image = '/pool/talos.raw'
const [one, two] = ['/pool/home-cp1.qcow2', '/pool/home-w1.qcow2']
for (const [title, lost, left, there, expected] of [
  ['every disk is gone', [one, two], [], undefined, true],
  ['the image was downloaded again', [one, two], [], image, true],
  ['the only disk is gone, beside the image', [one], [], image, false],
  ['the only disk is gone, and the image', [one], [], undefined, true],
  ['the image is elsewhere', [one], [], '/images/talos.raw', true],
  [
    'another file of the cluster is there',
    [one, two],
    ['/pool/home-w2-seed.iso'],
    undefined,
    false,
  ],
  ['other files are elsewhere', [one, two], ['/seeds/home-w1-seed.iso'], undefined, true],
  ['no disk is gone', [], [], undefined, false],
  ['what is gone was elsewhere', ['/old/home-w1.qcow2'], [], undefined, false],
] as const)
  test(`a folder is ${expected ? '' : 'not '}taken for an unmounted one: ${title}`, () => {
    assert.is(isEmptied('/pool', lost, { left, image: there }), expected)
  })

test('a machine had a disk if that is recorded, or if it is not off', () => {
  assert.equal(
    [hadDisk('created', true), hadDisk('none', true), hadDisk('none', false)],
    [true, false, true],
  )
})

test("the free space is df's number, or why there is none", () => {
  assert.equal(readFreeSpace(' 4096'), { bytes: 4096, error: undefined })
  const error = 'df: /pool/.: No such file or directory'
  assert.equal(readFreeSpace(error), { bytes: 0, error })
  assert.is(readFreeSpace('').error, 'df printed nothing')
})

test.run()
