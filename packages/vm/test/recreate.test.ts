import { checkConfirm, Problem, silentLog, type Change } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findProblems } from '../src/check.ts'
import { runFlow } from '../src/flow.ts'
import { parseDomain } from '../src/parse-domain.ts'
import { planDestroy } from '../src/plan-destroy.ts'
import type { ObservedHost } from '../src/observe.ts'
import { findRecreateProblems, recreateMachines } from '../src/recreate.ts'
import { domainXml, fakeHost, ownCluster } from './fake-host.ts'
import { domainFor, finishedHost, firstOf, foreignDomain, pool } from './observed-hosts.ts'

interface Given {
  readonly settings?: Readonly<Record<string, string>>
  /** The value of CONFIRM. */
  readonly confirmed?: string
  readonly dryRun?: boolean
  readonly hasImage?: boolean
  /** Machines that are shut off; by default all run. */
  readonly off?: readonly string[]
  /** Machines that a killed run has only defined. */
  readonly onlyDefined?: readonly string[]
}

/** Runs a flow on a host with all machines of the cluster; returns its plan, its commands and its problem. */
async function run(
  flow: 'recreate cp1' | 'destroy',
  {
    settings = {},
    confirmed,
    dryRun = false,
    hasImage = true,
    off = [],
    onlyDefined = [],
  }: Given = {},
) {
  const cluster = ownCluster(settings)
  const names = cluster.nodes.map(({ name }) => name)
  const xmlOf = (name: string): string => {
    const xml = domainXml(cluster, name)
    return onlyDefined.includes(name) ? xml.replace('state="created"', 'state="none"') : xml
  }
  const domains = Object.fromEntries(names.map((name) => [name, xmlOf(name)]))
  const files = names
    .filter((name) => !onlyDefined.includes(name))
    .map((name) => `disk 2048 - ${pool}/${name}.qcow2`)
  const isOff = (name: string): boolean => off.includes(name) || onlyDefined.includes(name)
  const states = names
    .map((name) => `Domain: '${name}'\n  state.state=${isOff(name) ? 5 : 1}\n`)
    .join('\n')
  const host = fakeHost({ domains, files, hasImage, virsh: { domstats: states } })
  const planned: Change[] = []
  const context = {
    cluster,
    log: silentLog,
    dryRun,
    hosts: async () => [host],
    confirm: (changes: readonly Change[]) => checkConfirm(cluster, confirmed, changes),
    showPlan: (changes: readonly Change[]) => (planned.push(...changes), 2 as const),
  }
  const work =
    flow === 'destroy'
      ? runFlow(context, { plan: planDestroy, nothing: 'nothing', needsConfirm: true })
      : recreateMachines(context, new Set(['home-cp1']))
  const problem = await work.then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  const undefined_ = host.commands.flatMap(
    (command) => /^virsh .*undefine (\S+)/.exec(command)?.[1] ?? [],
  )
  const reset = host.commands.flatMap(
    (command) => /^virsh .*managedsave-remove (\S+)/.exec(command)?.[1] ?? [],
  )
  const definitions = [...host.inputs.values()].filter((text) => text.startsWith('<domain'))
  const removed = host.commands.filter((command) =>
    /^pool_remove |undefine|destroy|managedsave/m.test(command),
  )
  const matches = (pattern: RegExp): string[] =>
    host.commands.flatMap((command) => pattern.exec(command)?.[1] ?? []).sort()
  const started = matches(/^virsh .* start (\S+)/)
  const disks = matches(/^pool_overlay .* (\S+\/[\w-]+)\.qcow2\.talosmith-partial \d/m)
  return { problem, planned, undefined_, reset, definitions, removed, started, disks }
}

for (const flow of ['recreate cp1', 'destroy'] as const) {
  for (const confirmed of [undefined, 'other'])
    test(`${flow}: removes nothing with CONFIRM=${confirmed ?? '(not set)'}`, async () => {
      const { problem, removed } = await run(flow, confirmed === undefined ? {} : { confirmed })
      assert.is(problem?.code, 'CONFIRM_MISSING')
      assert.match(
        problem?.because ?? '',
        flow === 'destroy' ? 'Remove virtual machine home-cp1' : 'Reset virtual machine home-cp1',
      )
      assert.equal(removed, [])
    })

  test(`${flow}: --dry-run needs no CONFIRM and removes nothing`, async () => {
    const { problem, planned, removed } = await run(flow, { dryRun: true })
    assert.is(problem, undefined)
    assert.ok(
      planned.some(
        ({ kind }) => kind === (flow === 'destroy' ? 'undefine-domain' : 'rebuild-domain'),
      ),
    )
    assert.equal(removed, [])
  })
}

test('destroy: removes every machine when CONFIRM names the cluster', async () => {
  const { problem, undefined_ } = await run('destroy', { confirmed: 'home' })
  assert.is(problem, undefined)
  assert.equal(undefined_.sort(), ['home-cp1', 'home-w1', 'home-w2'])
})

test('recreate: resets only the given machines, and keeps every definition', async () => {
  const { reset, undefined_, definitions } = await run('recreate cp1', { confirmed: 'home' })
  assert.equal([reset, undefined_], [['home-cp1'], []])
  assert.equal(
    definitions.map((xml) => [parseDomain(xml).name, parseDomain(xml).diskNote]),
    [['home-cp1', 'none']],
  )
})

test('recreate: finishes and starts what a killed run has only defined, also of machines not given', async () => {
  const given = { confirmed: 'home', onlyDefined: ['home-w1'], off: ['home-w2'] }
  const { problem, started, disks, reset } = await run('recreate cp1', given)
  assert.is(problem, undefined)
  assert.equal(disks, [`${pool}/home-w1`])
  assert.equal(started, ['home-w1', 'home-w2'])
  assert.equal(reset, ['home-cp1'])
})

test('recreate: leaves running machines that are not given as they are', async () => {
  const { started, disks } = await run('recreate cp1', { confirmed: 'home' })
  assert.equal([started, disks], [[], []])
})

test('recreate: removes no machine if they could not be created again', async () => {
  const { problem, removed } = await run('recreate cp1', {
    confirmed: 'home',
    settings: { NETWORK_BRIDGE: 'br9' },
  })
  assert.is(problem?.code, 'BRIDGE_NOT_FOUND')
  assert.equal(removed, [])
})

const one = testCluster()
const cp1 = new Set(['home-cp1'])
const whole = testCluster({ CONTROL_PLANE_COUNT: '3' })
/** A host with three control planes, of which the settings name one. */
const lowered = (state: string, autostart = false): ObservedHost => {
  const host = finishedHost(one)
  const live = { state, memoryMib: undefined, cpu: undefined }
  const further = whole.controlPlanes.slice(1)
  return {
    ...host,
    domains: [
      ...host.domains,
      ...further.map((node) => domainFor(whole, node, { live, autostart })),
    ],
  }
}
const codesOf = (host: ObservedHost, names: ReadonlySet<string> = cp1): string[] =>
  findRecreateProblems(one, [host], names).map(({ code }) => code)
const mib = 2 ** 20
/** A host where a machine of another owner uses the disk of home-cp1. */
const shared = (): ObservedHost => {
  const host = finishedHost(one)
  const disk = `${pool}/home-cp1.qcow2`
  const user = domainFor(one, firstOf(one), {
    ...{ name: 'clone', owner: undefined, own: undefined },
    machine: { name: 'clone', disk, mac: '52:54:00:99:99:99' },
  })
  return { ...host, domains: [...host.domains, user] }
}

const ownDisk = `${pool}/home-cp1.qcow2`
const snap = `${pool}/home-cp1.snap`
/** A host where home-cp1 has these disks, of which `snap` is a snapshot of its own. */
const withDisks = (...disks: (readonly [target: string, source: string])[]): ObservedHost => {
  const host = finishedHost(one)
  return {
    ...host,
    overlays: [{ path: snap, disk: ownDisk, isInUse: true }],
    domains: host.domains.map((domain) =>
      domain.name === 'home-cp1'
        ? { ...domain, disks: disks.map(([target, source]) => ({ type: 'file', target, source })) }
        : domain,
    ),
  }
}

const checked: [string, ObservedHost, string[]][] = [
  ['nothing is wrong', finishedHost(one), []],
  ['there is no image for the new disk', finishedHost(one, { hasImage: false }), ['IMAGE_MISSING']],
  [
    'the pool is full, also without the old disk',
    finishedHost(one, { poolFreeBytes: 100 * mib }),
    ['POOL_FULL'],
  ],
  ['the old disk makes enough space', finishedHost(one, { poolFreeBytes: 600 * mib }), []],
  ['a control plane beyond the count runs', lowered('running'), ['CONTROL_PLANES_LEFT']],
  ['one beyond the count is paused', lowered('paused'), ['CONTROL_PLANES_LEFT']],
  ['one beyond the count starts with its host', lowered('shut off', true), ['CONTROL_PLANES_LEFT']],
  ['another machine uses the disk, which stays', shared(), ['DISK_NOT_OURS']],
  ['one beyond the count stays off', lowered('shut off'), []],
  ['a disk was added', withDisks(['vda', ownDisk], ['vdb', '/data/a.qcow2']), []],
  ['it uses a snapshot of its disk', withDisks(['vda', snap]), []],
  ['its disk has another target', withDisks(['sda', ownDisk]), []],
  [
    'its disk has another target, for a further one',
    withDisks(['sda', ownDisk], ['vda', '/b']),
    [],
  ],
  [
    'a disk that was added is missing',
    { ...withDisks(['vda', ownDisk], ['vdb', '/data/a.qcow2']), gone: new Set(['/data/a.qcow2']) },
    ['DISK_LOST'],
  ],
  [
    'the snapshot that it uses is missing',
    { ...withDisks(['vda', snap]), overlays: [], gone: new Set([snap]) },
    [],
  ],
  [
    'the disk below its snapshot is missing',
    { ...withDisks(['vda', snap]), overlays: [], brokenChains: new Set([snap]) },
    [],
  ],
  ['a snapshot has another target', withDisks(['sda', snap]), ['DISK_NOT_OURS']],
  ['only another disk is there', withDisks(['vda', '/data/a.qcow2']), ['DISK_NOT_OURS']],
]
for (const [title, host, expected] of checked)
  test(`recreate, before anything is removed: ${title}`, () => {
    assert.equal(codesOf(host), expected)
  })

test('recreate: all machines of a bridge behind a router prove their addresses once more', () => {
  const lan = { bridge: 'br0', address: '192.168.1.2/24', gateway: undefined }
  const host = finishedHost(one, { bridgeNetworks: [lan] })
  assert.equal(codesOf(host, new Set(one.nodes.map(({ name }) => name))), [])
})

test('recreate: of several problems, control planes that are left come first, and each is named once', () => {
  const host = lowered('shut off', true)
  const { domains } = shared()
  const all = { ...host, domains: [...host.domains, ...domains.slice(-1)], hasImage: false }
  assert.equal(codesOf(all), ['CONTROL_PLANES_LEFT', 'DISK_NOT_OURS', 'IMAGE_MISSING'])
  // Machines that are only created do not replace those that are off.
  assert.equal(findProblems(one, [host]), [])
})

test('recreate: a running control plane of another owner is not ours to count', () => {
  const [, cp2] = whole.controlPlanes
  const host = finishedHost(one)
  const domains = [...host.domains, ...(cp2 ? [foreignDomain(whole, cp2)] : [])]
  assert.equal(codesOf({ ...host, domains }), [])
})

test('recreate: the control planes beyond the count, and the count that names them again', () => {
  const [problem] = findRecreateProblems(one, [lowered('running')], cp1)
  assert.match(problem?.because ?? '', 'home-cp2 is running on root@kvm1\nhome-cp3 is running')
  assert.match(problem?.hint ?? '', 'set CONTROL_PLANE_COUNT=3 again')
})

test('recreate: removes no machine while there is no image to create it from', async () => {
  const { problem, removed } = await run('recreate cp1', { confirmed: 'home', hasImage: false })
  assert.is(problem?.code, 'IMAGE_MISSING')
  assert.equal(removed, [])
})

test.run()
