import { mkdirSync, readFileSync } from 'node:fs'
import { Problem, silentLog, type Cluster } from '@talosmith/core'
import { quicken, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { updateNode } from '../../src/configure/apply-config.ts'
import {
  createCa,
  fakeTalosctl,
  resource,
  showMachine,
  versions,
  type Reply,
} from '@talosmith/clients/testing'

// Machines on addresses of this test alone, at Talos' own port.
const described = (controlPlanes: number): Cluster => {
  const settings = { NETWORK_CIDR: '127.13.5.0/24', CONTROL_PLANE_COUNT: `${controlPlanes}` }
  const cluster = testCluster({ ...settings, WORKER_COUNT: '1' }, temporaryFolder('apply-config'))
  mkdirSync(cluster.generated, { recursive: true })
  return cluster
}
const ca = createCa()
const secrets = { talosCa: ca.cert, kubernetesCa: '', digest: 'd' }
const shown: { stop(): Promise<void> }[] = []
const test = suite('a config update')
quicken()
test.before(async () => {
  const pair = ca.issue('/CN=machine')
  for (const last of [70, 71, 72, 80])
    shown.push(await showMachine(`127.13.5.${last}`, { has: pair, ca: ca.cert }))
})
test.after(async () => {
  await Promise.all(shown.map((machine) => machine.stop()))
})

const before = 'machine: {a: 1}\n'
const after = 'machine: {a: 2}\n'

interface Given {
  readonly controlPlanes?: number
  readonly isReady?: boolean
  readonly reboots?: boolean
  /** The state of its etcd service. */
  readonly service?: string
  /** Names of etcd's members that are no control planes of the settings. */
  readonly strangers?: readonly string[]
  /** Whose etcd is not well: the index of a control plane. */
  readonly sick?: number
  /** Why etcd is not well at its looks, in turn, the last one for ever; undefined: it is. */
  readonly etcd?: readonly (string | undefined)[]
}

/** Updates a machine; the questions that count, in order, and the Problem. */
async function update(
  name: string,
  {
    controlPlanes = 3,
    isReady = true,
    reboots = false,
    service = 'Running',
    strangers = [],
    sick = 1,
    etcd = [],
  }: Given = {},
): Promise<{ calls: string[]; problem: Problem | undefined }> {
  const cluster = described(controlPlanes)
  const node = cluster.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(`no ${name}`)
  const configs = new Map(cluster.nodes.map(({ address }) => [address, before]))
  let looks = 0
  const talosctl = fakeTalosctl((words, nodes): Reply => {
    const [address = ''] = nodes
    const file = /^apply-config .*--file=(\S+)/.exec(words)?.[1]
    if (file !== undefined) configs.set(address, readFileSync(file, 'utf8'))
    if (words.startsWith('get machineconfig'))
      return nodes.map((one) => resource(one, configs.get(one))).join('')
    if (words === 'version') return versions({ [address]: 'v1.13.9' })
    if (words.startsWith('get machinestatus'))
      return resource(address, { stage: 'running', status: { ready: isReady } })
    if (words === 'etcd members')
      return table(
        'NODE   ID   HOSTNAME   LEARNER',
        [...cluster.controlPlanes.map((one) => one.name), ...strangers].map((one) => [
          ...[address, `id-${one}`, one, 'false'],
        ]),
      )
    if (words === 'service etcd') return `STATE    ${service}\n`
    if (words === 'etcd status') {
      const reason = etcd[Math.min(looks++, etcd.length - 1)] ?? ''
      return table(
        'NODE   MEMBER   LEADER   LEARNER   ERRORS',
        cluster.controlPlanes.map((one, index) => [
          ...[one.address, `id-${one.name}`, `id-${cluster.controlPlanes[0]?.name}`, 'false'],
          index === sick ? reason : '',
        ]),
      )
    }
    return ''
  })
  const updates = new Map([[name, after]])
  const problem = await updateNode({ cluster, talosctl, log: silentLog, secrets, updates }, node, {
    reboots,
  }).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  const calls = talosctl.calls.flatMap((call) => /^(?:apply-config|etcd status)/.exec(call) ?? [])
  return { calls, problem }
}

function table(titles: string, rows: readonly (readonly string[])[]): string {
  const cells = [titles.split(/ +/), ...rows]
  return cells.map((row) => row.map((cell) => cell.padEnd(20)).join('')).join('\n')
}

test('takes no control plane whose etcd is unsafe', async () => {
  const { calls, problem } = await update('home-cp1', { etcd: ['memberID:2 alarm:NOSPACE'] })
  assert.not.ok(calls.includes('apply-config'), 'the config was sent')
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.is(problem?.because, 'home-cp2: its etcd has errors: memberID:2 alarm:NOSPACE')
})

test('waits for etcd to have all control planes before it takes one, and after', async () => {
  const { calls, problem } = await update('home-cp1', {
    etcd: ['no leader', 'no leader', undefined, 'no leader', undefined],
  })
  assert.is(problem, undefined)
  assert.equal(calls, [
    ...Array<string>(3).fill('etcd status'),
    'apply-config',
    ...Array<string>(2).fill('etcd status'),
  ])
})

test('ends with a failure when etcd does not get well afterwards', async () => {
  const { calls, problem } = await update('home-cp1', { etcd: [undefined, 'no leader'] })
  assert.ok(calls.includes('apply-config'))
  assert.is(problem?.code, 'GATE_CLOSED')
})

const spared: [string, string, Given][] = [
  ['of a worker', 'home-w1', {}],
  ['of the only control plane', 'home-cp1', { controlPlanes: 1 }],
]
for (const [title, name, given] of spared)
  test(`${title} does not ask for etcd`, async () => {
    const { calls, problem } = await update(name, given)
    assert.is(problem, undefined)
    assert.equal(calls, ['apply-config'])
  })

test('of a control plane that is not ready goes ahead without a reboot: it may be what it needs', async () => {
  const { calls, problem } = await update('home-cp1', { isReady: false, etcd: ['no leader'] })
  assert.is(problem, undefined)
  assert.equal(calls, ['apply-config'])
})

const unready = { isReady: false, reboots: true }
const guarded: [string, Given, 'goes ahead' | 'is refused'][] = [
  ['another is not well', { ...unready, etcd: ['no leader'] }, 'is refused'],
  ['only its own etcd is not well', { ...unready, sick: 0, etcd: ['no leader'] }, 'goes ahead'],
  [
    'its own etcd does not run, whatever the others do',
    { ...unready, service: 'Preparing', etcd: ['no leader'] },
    'goes ahead',
  ],
  [
    'it is the only one of the settings, and etcd has more members',
    { controlPlanes: 1, reboots: true, strangers: ['home-cp2', 'home-cp3'] },
    'is refused',
  ],
  [
    'it is the only member',
    { controlPlanes: 1, reboots: true, sick: 0, etcd: ['x'] },
    'goes ahead',
  ],
]
for (const [title, given, outcome] of guarded)
  test(`the reboot of a control plane ${outcome} when ${title}`, async () => {
    const { calls, problem } = await update('home-cp1', given)
    assert.is(problem?.code, outcome === 'goes ahead' ? undefined : 'GATE_CLOSED')
    assert.is(calls.includes('apply-config'), outcome === 'goes ahead')
  })

test.run()
