import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Host, Problem } from '@talosmith/core'
import { recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import { planImage } from '../plan/image.ts'
import { planMachines } from '../plan/machines.ts'
import { planStoragePart } from '../plan/storage.ts'
import * as assert from 'uvu/assert'

const signal = new AbortController().signal
const unreachable = { problem: new Problem('SSH_TIMEOUT', 'kvm2 does not answer') }

/** A host with libvirt, a pool, and nothing of the cluster. */
const emptyHost = (image = ''): Host =>
  recordingHost((command) => {
    if (!command.includes('virsh')) return `${image}\nfree 99999999999\nbridge br0\nkvm\nflag\n`
    return answerBatch(command)
  })

/** Answers a batch of virsh commands, each followed by a separator on both outputs. */
function answerBatch(command: string): { stdout: string; stderr: string } {
  const separator = /[0-9a-f-]{36}\./.exec(command)?.[0] ?? ''
  const count = command.split(`echo --err ${separator}`).length - 1
  const one = (index: number): string =>
    index === 0
      ? "<pool type='dir'><target><path>/pool</path></target></pool>"
      : index < 3
        ? 'default'
        : command.includes('domcapabilities') && index >= 6 && index < 8
          ? "<domainCapabilities><os><enum name='firmware'><value>efi</value></enum></os></domainCapabilities>"
          : ''
  const isMissing = (index: number): boolean => index > 9
  const all = Array.from({ length: count }, (_, index) => index)
  return {
    stdout: all.map((index) => `${one(index)}\n${separator}\n`).join(''),
    stderr: all
      .map(
        (index) =>
          `${isMissing(index) ? 'error: failed to get domain\n' : ''}error: ${separator}\n`,
      )
      .join(''),
  }
}

test('machines that do not exist are planned from the settings, and count as fresh', async () => {
  const { plan, fresh } = await planMachines(testCluster(), [{ value: emptyHost() }])
  assert.equal(
    plan.changes.slice(0, 2).map(({ kind, target }) => `${kind} ${target}`),
    ['define-domain home-cp1', 'create-disk home-cp1'],
  )
  assert.equal([...fresh].sort(), ['home-cp1', 'home-w1', 'home-w2'])
  assert.equal(
    plan.problems.map(({ code }) => code),
    [],
  )
})

test('while a host is unreachable, no machine is planned that may exist on it', async () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@kvm2/system' })
  const { plan, fresh } = await planMachines(two, [{ value: emptyHost() }, unreachable])
  assert.equal(plan.changes, [])
  assert.is(fresh.size, 0)
  assert.equal(
    plan.problems.map(({ code }) => code),
    ['SSH_TIMEOUT'],
  )
})

test('an unreachable factory is a note while nothing is to be downloaded, and a problem otherwise', async () => {
  const cluster = testCluster({
    TALOS_FACTORY_URL: 'http://127.0.0.1:1',
    IMAGE_PATH: '/pool/my.raw',
  })
  const there = await planImage(cluster, [{ value: emptyHost('file 1000 1.0') }], signal)
  assert.equal([there.problems, there.notes], [[], []], 'with IMAGE_PATH no factory is queried')
  assert.equal(
    there.changes.map(({ kind }) => kind),
    ['verify-image'],
  )
  const download = testCluster({ TALOS_FACTORY_URL: 'http://127.0.0.1:1' })
  const downloaded = await planImage(download, [{ value: emptyHost('file 1000 1.0') }], signal)
  assert.match(downloaded.notes[0] ?? '', 'does not answer')
  const absent = await planImage(download, [{ value: emptyHost() }], signal)
  assert.equal(
    absent.problems.map(({ code }) => code),
    ['FACTORY_UNREACHABLE'],
  )
  assert.equal(
    absent.changes.map(({ kind }) => kind),
    ['download-image'],
  )
})

test('a schematic that the factory does not know is posted', async () => {
  const factory = createServer(({ url = '' }, response) => {
    if (url.startsWith('/schematics')) response.statusCode = 404
    response.end(url === '/versions' ? '["v1.13.9"]' : '[]')
  })
  await new Promise<void>((resolve) => factory.listen(0, '127.0.0.1', resolve))
  const { port } = factory.address() as AddressInfo
  const cluster = testCluster({
    TALOS_VERSION: 'v1.13.9',
    TALOS_FACTORY_URL: `http://127.0.0.1:${port}`,
  })
  try {
    const { changes } = await planImage(cluster, [{ value: emptyHost() }], signal)
    assert.equal(
      changes.map(({ kind }) => kind),
      ['post-schematic', 'download-image'],
    )
  } finally {
    factory.close()
  }
})

test('an image on an unreachable host is unknown', async () => {
  const { unknown } = await planImage(
    testCluster({ TALOS_FACTORY_URL: 'http://127.0.0.1:1' }),
    [unreachable],
    signal,
  )
  assert.match(unknown[0] ?? '', 'the image on 1 of 1 hosts')
})

const look = (isFresh: boolean) => ({
  access: Promise.resolve(undefined),
  isFresh: Promise.resolve(isFresh),
})

test('storage without NFS_SERVER needs no change; with it, and no cluster, the whole installation', async () => {
  assert.equal((await planStoragePart(testCluster(), look(true))).changes, [])
  const nfs = testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv' })
  assert.equal(
    (await planStoragePart(nfs, look(true))).changes.map(({ kind }) => kind),
    ['check-chart', 'check-nodes', 'install-release', 'create-storage-class', 'prove-storage'],
  )
})

test.run()
