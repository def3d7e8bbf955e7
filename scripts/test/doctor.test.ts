import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { local } from '@talosmith/core'
import { temporaryFolder, testSettings } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  findOrphans,
  knownClusters,
  planFolder,
  planOrphans,
  renderOrphans,
  type Orphan,
} from '../doctor/orphans.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const doctor = suite<{ made: Made; path: string | undefined }>('orphans')
doctor.before.each(async (context) => {
  context.made = await makeCluster()
  context.path = process.env['PATH']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
  mkdirSync(context.made.path('env'))
})
doctor.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

const describe = (made: Made, name: string, settings: Record<string, string> | string): void =>
  writeFileSync(
    made.path(`env/${name}.env`),
    typeof settings === 'string'
      ? settings
      : Object.entries(settings)
          .map((pair) => pair.join('='))
          .join('\n'),
  )

async function find(made: Made, warnings: string[] = []): Promise<Orphan[]> {
  const known = await knownClusters(made.cluster, (text) => warnings.push(text))
  return findOrphans(made.cluster, [local], known)
}

/** The header of a disk with a backing file, as qemu-img writes it. */
function overlay(image: string): Buffer {
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeBigUInt64BE(512n, 8)
  header.writeUInt32BE(image.length, 16)
  header.write(image, 512)
  return header
}

doctor('there are none while every cluster has an env file', async ({ made }) => {
  describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
  const found = await find(made)
  assert.equal(found, [])
  assert.match(renderOrphans(found), 'No orphans')
})

doctor('machines and the folder of a cluster without an env file are orphans', async ({ made }) => {
  const found = await find(made)
  assert.equal(
    found.map(({ kind, name }) => `${kind} ${name}`),
    [
      'machine talosmith-test-b-cp1',
      'machine talosmith-test-b-w1',
      'machine talosmith-test-b-w2',
      `generated ${made.path('generated/talosmith-test-b')}`,
    ],
  )
  assert.not.match(renderOrphans(found), 'bystander')
  // They run, and the folder holds secrets.
  assert.equal([...new Set(found.map(({ remove }) => remove))], [null])
  assert.match(renderOrphans(found), 'do not remove it: it is running')
})

doctor(
  'a machine that is no longer in the settings of its cluster is an orphan',
  async ({ made }) => {
    describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b', WORKER_COUNT: '1' })
    const [orphan, ...others] = await find(made)
    assert.is(orphan?.name, 'talosmith-test-b-w2')
    assert.match(orphan?.why ?? '', 'no longer in the settings of talosmith-test-b')
    assert.equal(others, [])
  },
)

doctor('once its machines are gone, its ISOs and partial files are orphans', async ({ made }) => {
  for (const node of ['cp1', 'w1', 'w2'])
    rmSync(made.path(`domains/talosmith-test-b-${node}`), { recursive: true })
  writeFileSync(join(made.pool, 'talosmith-test-b-w3.qcow2.talosmith-partial'), '')
  writeFileSync(join(made.pool, 'talosmith-test-a-w3.qcow2.talosmith-partial'), '')
  assert.equal(
    (await find(made)).map(({ kind, name }) => `${kind} ${name.replace(`${made.pool}/`, '')}`),
    [
      'seed talosmith-test-b-cp1-seed.iso',
      'seed talosmith-test-b-w1-seed.iso',
      'seed talosmith-test-b-w2-seed.iso',
      'leftover talosmith-test-b-w3.qcow2.talosmith-partial',
      `generated ${made.path('generated/talosmith-test-b')}`,
    ],
  )
})

doctor(
  'a disk that is backed by an image of Talosmith and has no machine is an orphan',
  async ({ made }) => {
    describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
    const disk = join(made.pool, 'talosmith-test-a-w9.qcow2')
    writeFileSync(disk, overlay(join(made.pool, made.cluster.image.fileName)))
    writeFileSync(join(made.pool, 'theirs.qcow2'), overlay('/srv/debian.raw'))
    const [orphan, ...others] = await find(made)
    assert.is(orphan?.name, disk)
    assert.is(orphan?.why, 'no machine uses it')
    assert.equal(others, [])
  },
)

doctor('an env file that cannot be read counts for the cluster of its name', async ({ made }) => {
  describe(made, 'talosmith-test-b', 'CLUSTER_NAME=!\n')
  const warnings: string[] = []
  assert.equal(await find(made, warnings), [])
  assert.match(warnings.join(), 'env/talosmith-test-b.env')
})

doctor('the example is not the env file of a cluster', async ({ made }) => {
  describe(made, 'example', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
  assert.is((await find(made)).length, 4)
})

/** A folder with a file whose removal would show. */
async function afterTyping(command: string, ...files: string[]): Promise<string[]> {
  const folder = temporaryFolder('typed')
  const keep = ['keep', 'a', 'b c', ...files]
  for (const name of keep) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), '')
  }
  await local.$`cd ${folder}; bash -c ${command}`
  return keep.filter((name) => !existsSync(join(folder, name)))
}

for (const name of [
  'a b',
  "it's",
  '$(touch x)',
  '`rm keep`',
  '; rm keep',
  '-rf',
  '*',
  'ä\u202e',
  'a\nb',
])
  doctor(`the command removes exactly the file ${JSON.stringify(name)}`, async () => {
    const file = { name, kind: 'disk', cluster: 'away', isUsed: false } as const
    const [orphan] = planOrphans('root@kvm1', [file], new Map())
    assert.equal(await afterTyping(orphan?.remove ?? '', name), [name])
    const text = renderOrphans(orphan === undefined ? [] : [orphan])
    assert.match(text, 'to remove it, on root@kvm1: rm -- ')
    assert.is(text.split('\n').length, 3)
  })

doctor('a file that only libvirt may remove is removed as a volume of its pool', () => {
  const file = { kind: 'disk', cluster: 'away', isUsed: false, pool: 'default' } as const
  const [orphan] = planOrphans('me@kvm1', [{ ...file, name: "/pool/it's.qcow2" }], new Map())
  assert.is(
    orphan?.remove,
    `virsh -c qemu:///system pool-refresh default && virsh -c qemu:///system vol-delete --pool default --vol 'it'\\''s.qcow2'`,
  )
})

for (const state of ['running', 'paused', 'pmsuspended', 'in shutdown', 'unknown'])
  doctor(`no command is printed for a machine of another operator that is ${state}`, () => {
    const machine = {
      ...({ name: 'x-cp1', kind: 'machine', cluster: 'x', isUsed: true, state } as const),
      madeThrough: 'qemu+ssh://them@kvm1/system',
    }
    const [orphan] = planOrphans('root@kvm1', [machine], new Map())
    assert.is(orphan?.remove, null)
    assert.match(orphan?.keep ?? '', `it is ${state}: its user has to shut it down`)
    assert.match(orphan?.owner ?? '', 'another operator')
    assert.match(orphan?.owner ?? '', 'qemu+ssh://them@kvm1/system')
  })

doctor('a machine that is off is never powered off by the printed command', () => {
  const machine = {
    name: '-x y',
    kind: 'machine',
    cluster: 'x',
    isUsed: true,
    state: 'shut off',
  } as const
  const [orphan] = planOrphans('root@kvm1', [machine], new Map())
  assert.match(orphan?.remove ?? '', "virsh -c qemu:///system undefine --domain '-x y' --nvram")
  assert.not.match(orphan?.remove ?? '', 'destroy')
  assert.match(orphan?.owner ?? '', 'ask the users of this host')
})

doctor('the disk of a machine in the settings is not an orphan: cluster:up uses it again', () => {
  const known = new Map([['home', new Set(['home-w1'])]])
  const disk = (name: string) =>
    ({ name: `/pool/${name}`, kind: 'disk', cluster: 'home', isUsed: false }) as const
  const found = planOrphans('root@kvm1', ['home-w1.qcow2', 'home-w2.qcow2'].map(disk), known)
  assert.equal(
    found.map(({ name }) => name),
    ['/pool/home-w2.qcow2'],
  )
  assert.equal(
    planOrphans('root@kvm1', [disk('home-w1.qcow2')], new Map([['home', undefined]])),
    [],
  )
})

for (const file of [
  'secrets.yaml',
  'secrets.yaml.3.tmp',
  'talosconfig',
  'kubeconfig',
  'backups/etcd-1.db',
  'backups/etcd-1.secrets.yaml',
  'removed/secrets.yaml',
  'archive/1/secrets.yaml',
  'configs/x-cp1.yaml',
  'work/1-0/secrets.yaml',
  'notes of mine',
])
  doctor(`no command is printed for a folder that holds ${file}`, () => {
    const { remove, keep } = planFolder('/p/generated/x', ['runs/1.jsonl', file])
    assert.is(remove, null)
    assert.match(keep ?? '', `it holds ${file}`)
  })

doctor('a folder without secrets can be removed, one that cannot be read not', () => {
  const { remove } = planFolder("/my p/generated/it's", ['runs/1.jsonl', 'images.json'])
  assert.is(remove, `rm -r -- '/my p/generated/it'\\''s'`)
  assert.is(planFolder('/p/generated/x', undefined).remove, null)
})

doctor(
  'an upload that was not finished is an orphan with its marker, except an image',
  async ({ made }) => {
    const seed = join(made.pool, 'talosmith-test-c-w9-seed.iso')
    writeFileSync(seed, '')
    writeFileSync(`${seed}.talosmith-upload`, '')
    writeFileSync(join(made.pool, `${made.cluster.image.fileName}.talosmith-upload`), '')
    describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
    const found = await find(made)
    assert.equal(
      found.map(({ kind, name }) => `${kind} ${name}`),
      [`leftover ${seed}`, `leftover ${seed}.talosmith-upload`],
    )
  },
)

doctor('a file whose name has a newline is not taken for two', async ({ made }) => {
  const disk = join(made.pool, 'talosmith-test-a-w9.qcow2')
  writeFileSync(`${disk}\nleftover - x.qcow2`, '')
  writeFileSync(`${disk}\nleftover - x.iso`, '')
  mkdirSync(`${disk}\nleftover - x.talosmith-partial`)
  describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
  assert.equal(await find(made), [])
})

doctor.run()
