import { promises } from 'node:fs'
import { join } from 'node:path'
import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { diskOf } from './support/world/machines.ts'
import { openWorld, type Opened, type Saved } from './support/world/open.ts'
import { asProcess, type Run } from './support/world/runs.ts'
import { runChain } from './support/world/stages.ts'

const suiteOf = suite('what the kill matrix takes for harm')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip
let opened: Opened
let running: Saved

suiteOf.before(async () => {
  opened = await openWorld('127.77.10.0/24')
  const { ending } = await runChain(opened.world, opened.cluster(), 'up')
  assert.equal(ending, { kind: 'done' })
  running = opened.save()
})
suiteOf.after(() => opened.close())

/** Does this as a command would that has a bug; returns the harm that the world reports. */
async function harmOf(
  act: (opened: Opened) => Promise<unknown>,
  { command = 'up', confirmed = false }: Partial<Pick<Run, 'command' | 'confirmed'>> = {},
): Promise<readonly string[]> {
  await opened.load(running)
  await asProcess({ command, confirmed, killAt: Infinity }, () => act(opened))
  return [...new Set(opened.world.harm)]
}

const removeDisk = ({ world }: Opened): Promise<unknown> =>
  world.host.$`rm -f -- ${diskOf('home-cp1')}`
const file = ({ cluster }: Opened, name: string): string => join(cluster().generated, name)
/** Bootstraps etcd on the control plane, whatever is there. */
const bootstrap = (one: Opened): Promise<unknown> => {
  const [{ address } = { address: '' }] = one.cluster().controlPlanes
  const access = ['--talosconfig', file(one, 'talosconfig'), '--nodes', address]
  return one.world.runTalosctl([...access, 'bootstrap'])
}
/** Gives the control plane an empty disk with its former config. */
const emptyDisk = async ({ world }: Opened): Promise<void> => {
  const saved = world.save()
  const { config } = saved.data.get('home-cp1') ?? { config: undefined }
  await world.host.$`rm -f -- ${diskOf('home-cp1')}`
  const after = world.save()
  after.data.set('home-cp1', { config, etcd: undefined })
  const disk = saved.files.get(diskOf('home-cp1'))
  if (disk !== undefined) after.files.set(diskOf('home-cp1'), disk)
  const harm = [...world.harm]
  await world.load(after)
  world.harm.push(...harm)
}
/** Moves the data of etcd to the worker's disk, as if it were another control plane of the cluster. */
const dataElsewhere = async ({ world }: Opened): Promise<void> => {
  const saved = world.save()
  for (const [name, etcd] of [
    ['home-cp1', undefined],
    ['home-w1', 'uid-1'],
  ] as const)
    saved.data.set(name, { config: saved.data.get(name)?.config, etcd })
  await world.load(saved)
}

test('no harm: a command that only looks', async () => {
  assert.equal(await harmOf(({ world }) => world.host.$`virsh -q -c qemu:///system list`), [])
})

test('a disk with data is removed without CONFIRM', async () => {
  assert.equal(await harmOf(removeDisk), ['up removed the disk of home-cp1 without CONFIRM'])
})

test('no harm: a disk is removed with CONFIRM', async () => {
  assert.equal(await harmOf(removeDisk, { command: 'destroy', confirmed: true }), [])
})

test('etcd is bootstrapped while another machine has its data', async () => {
  const harm = await harmOf(async (one) => {
    await dataElsewhere(one)
    await bootstrap(one)
  })
  assert.ok(harm.includes('home-cp1 bootstraps etcd while home-w1 has data'), harm.join('\n'))
})

for (const [command, confirmed] of [
  ['up', false],
  ['restore', true],
] as const)
  test(`etcd begins empty after ${command} has removed its data`, async () => {
    const harm = await harmOf(
      async (one) => {
        await emptyDisk(one)
        await bootstrap(one)
      },
      { command, confirmed },
    )
    assert.ok(harm.includes('an empty cluster in the place of uid-1'), harm.join('\n'))
  })

test('secrets.yaml of machines that exist is replaced', async () => {
  const harm = await harmOf(async (one) => {
    const path = file(one, 'secrets.yaml')
    await promises.writeFile(path, 'certs: {}\n')
  })
  assert.ok(harm.includes('up has secrets.yaml of another CA than machines'), harm.join('\n'))
})

test('the last copy of the secrets is removed', async () => {
  assert.equal(await harmOf((one) => promises.rm(file(one, 'secrets.yaml'))), [
    'the last copy of the secrets of machines that exist is gone',
  ])
})

test('no harm: secrets are kept under another name', async () => {
  const move = (one: Opened): Promise<void> =>
    promises.rename(file(one, 'secrets.yaml'), file(one, 'secrets.yaml.kept'))
  assert.equal(await harmOf(move, { command: 'destroy', confirmed: true }), [])
})

suiteOf.run()
