// limit: 300 s
import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openWorld, type Opened, type Saved } from './support/world/open.ts'
import { endProcesses } from './support/world/runs.ts'
import { runChain, type Ran } from './support/world/stages.ts'

const suiteOf = suite('an upgrade whose version hangs on a machine')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip
const older = { TALOS_VERSION: 'v1.13.8', KUBERNETES_VERSION: 'v1.36.2' }
let opened: Opened
let nothing: Saved
let start: Saved
suiteOf.before(async () => {
  opened = await openWorld('127.77.12.0/24')
  nothing = opened.save()
  start = await made({})
})
suiteOf.after(() => opened.close())

async function made(settings: Readonly<Record<string, string>>): Promise<Saved> {
  const { ending } = await run('up', { ...older, ...settings })
  assert.equal(ending, { kind: 'done' })
  return opened.save()
}

function run(
  command: string,
  settings: Readonly<Record<string, string>> = {},
  options: { killAt?: number; options?: Readonly<Record<string, never>> } = {},
): Promise<Ran> {
  return runChain(opened.world, opened.cluster(settings), command, options)
}

function refusal({ ending, lines }: Ran): { readonly code: string; readonly text: string } {
  assert.is(ending.kind, 'refused', lines.slice(-10).join('\n'))
  return ending.kind === 'refused' ? ending : { code: '', text: '' }
}

test('a control plane returns to its version, is kept there and uncordoned, and the next run refuses', async () => {
  await opened.load(start)
  const { world } = opened
  world.hanging.add('home-cp1 v1.13.9')
  const first = await run('upgrade')
  const { code, text } = refusal(first)
  assert.is(code, 'VERSION_FAILED', text)
  assert.match(text, 'home-cp1 does not boot Talos v1.13.9')
  assert.match(text, 'initialize sequence')
  const machine = world.named('home-cp1')
  assert.equal(
    [machine.version, machine.bootsOther, machine.cordoned, machine.annotation],
    ['v1.13.8', false, false, undefined],
  )
  assert.is(world.named('home-w1').version, 'v1.13.8')
  const keys = first.changes.filter((change) => /^virsh (?:reset|send-key)/.test(change))
  assert.equal(keys, ['virsh reset home-cp1', ...Array<string>(3).fill('virsh send-key home-cp1')])
  const again = await run('upgrade')
  assert.is(refusal(again).code, 'VERSION_FAILED')
  assert.not.ok(
    again.changes.some((change) => change.startsWith('talosctl')),
    again.changes.join(),
  )
  // cluster:plan reports it, too.
  assert.match(refusal(await run('cluster:plan')).text, 'VERSION_FAILED')
  assert.equal([world.harm, world.violations], [[], []])
})

test('without its record the version is tried again, and success removes what is recorded', async () => {
  await opened.load(start)
  const { world } = opened
  world.hanging.add('home-w1 v1.13.9')
  assert.is(refusal(await run('upgrade')).code, 'VERSION_FAILED')
  world.hanging.clear()
  assert.is(refusal(await run('upgrade')).code, 'VERSION_FAILED')
  const worker = world.named('home-w1')
  // Of another version, as a new patch of Talos would find it.
  worker.failed = worker.failed?.replace('v1.13.9', 'v1.13.7')
  assert.equal((await run('upgrade')).ending, { kind: 'done' })
  assert.equal([worker.version, worker.failed], ['v1.13.9', undefined])
})

test('a machine that boots by BIOS is left as it is, with the reason', async () => {
  await opened.load(nothing)
  const bios = { UEFI: 'false' }
  await made(bios)
  const { world } = opened
  world.hanging.add('home-w1 v1.13.9')
  const { code, text } = refusal(await run('upgrade', bios))
  assert.is(code, 'UPGRADE_UNFINISHED', text)
  assert.match(text, 'it boots by BIOS')
  assert.equal([world.named('home-w1').cordoned, world.harm, world.violations], [true, [], []])
})

test('a single control plane that hangs when its run is killed is left to vm:boot-previous', async () => {
  await opened.load(start)
  const { world } = opened
  world.hanging.add('home-cp1 v1.13.9')
  const whole = await run('upgrade')
  await opened.load(start)
  world.hanging.add('home-cp1 v1.13.9')
  const killAt = whole.changes.indexOf('virsh reset home-cp1')
  assert.is((await run('upgrade', {}, { killAt })).ending.kind, 'killed')
  await endProcesses()
  const next = refusal(await run('upgrade'))
  assert.is(next.code, 'NODE_SILENT', next.text)
  const machine = { machine: 'home-cp1' } as never
  assert.equal((await run('vm:boot-previous', {}, { options: machine })).ending, { kind: 'done' })
  // The node still has the upgrade's annotation: the next run completes what vm:boot-previous began.
  assert.is(refusal(await run('upgrade')).code, 'VERSION_FAILED')
  assert.equal([world.named('home-cp1').cordoned, world.harm, world.violations], [false, [], []])
})

suiteOf.run()
