import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import { observeEtcdState } from '@talosmith/clients/etcd'
import { observeNodeStates, previewConfig } from '../../src/configure/observe.ts'
import {
  fakeTalosctl,
  resource,
  versions,
  type Reply,
  showMachine,
  createCa,
} from '@talosmith/clients/testing'
import * as assert from 'uvu/assert'

// Machines on addresses of this test alone, at Talos' own port.
const cluster = testCluster({
  NETWORK_CIDR: '127.13.7.0/24',
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  TALOS_VERSION: 'v1.13.9',
})
const addressOf = Object.fromEntries(cluster.nodes.map(({ name, address }) => [name, address]))
const [cp1 = '', cp2 = '', cp3 = '', w1 = ''] = cluster.nodes.map(({ address }) => address)
const ca = createCa()
const pair = ca.issue('/CN=machine')
const secrets = { talosCa: ca.cert }

/** Runs `work` while machines listen: `ours` with our certificate, `waiting` in maintenance mode. */
async function withMachines<T>(
  machines: Readonly<Record<string, 'ours' | 'waiting'>>,
  work: () => Promise<T>,
): Promise<T> {
  const stranger = createCa().issue('/O=maintenance')
  const listening = await Promise.all(
    Object.entries(machines).map(([name, kind]) =>
      showMachine(
        addressOf[name] ?? '',
        kind === 'ours' ? { has: pair, ca: ca.cert } : { waits: stranger },
      ),
    ),
  )
  try {
    return await work()
  } finally {
    await Promise.all(listening.map((machine) => machine.stop()))
  }
}

/** Machines that answer `get machineconfig` and `version` when asked. */
const answering = (configs: Readonly<Record<string, string>>) =>
  fakeTalosctl((words, nodes): Reply => {
    const stdout = words.startsWith('get')
      ? nodes.map((node) => (configs[node] ? resource(node, configs[node]) : '')).join('')
      : versions(Object.fromEntries(nodes.map((node) => [node, 'v1.13.9'])))
    const isWhole = nodes.every((node) => configs[node] !== undefined)
    return isWhole
      ? stdout
      : {
          stdout,
          stderr: '1 error occurred:\n\t* rpc error: code = Unavailable desc = dial timeout',
        }
  })

test('machines are told apart: running, waiting, silent', async () => {
  const talosctl = answering({ [cp1]: 'a: 1\n' })
  const observed = await withMachines({ 'home-cp1': 'ours', 'home-cp2': 'waiting' }, () =>
    observeNodeStates(cluster, talosctl, secrets),
  )
  assert.equal(
    observed.map(({ state }) => state.kind),
    ['running', 'maintenance', 'silent', 'silent'],
  )
  assert.equal(observed[0]?.state, { kind: 'running', config: 'a: 1\n', talosVersion: 'v1.13.9' })
})

test('all that run are asked in two processes, through the control planes', async () => {
  const talosctl = answering({ [cp1]: 'a', [cp2]: 'b', [cp3]: 'c', [w1]: 'd' })
  const machines = {
    'home-cp1': 'ours',
    'home-cp2': 'ours',
    'home-cp3': 'ours',
    'home-w1': 'ours',
  } as const
  const observed = await withMachines(machines, () => observeNodeStates(cluster, talosctl, secrets))
  assert.ok(observed.every(({ state }) => state.kind === 'running'))
  assert.is(talosctl.calls.length, 2)
})

test('a machine that does not answer is not queried', async () => {
  const talosctl = answering({})
  const observed = await observeNodeStates(cluster, talosctl, secrets)
  assert.ok(observed.every(({ state }) => state.kind === 'silent'))
  assert.equal(talosctl.calls, [])
})

test('one that has our config and does not say it is silent, with the reason', async () => {
  const talosctl = answering({ [cp1]: 'a: 1\n' })
  const [first, second] = await withMachines({ 'home-cp1': 'ours', 'home-cp2': 'ours' }, () =>
    observeNodeStates(cluster, talosctl, secrets),
  )
  assert.is(first?.state.kind, 'running')
  assert.match(second?.state.kind === 'silent' ? second.state.reason : '', 'dial timeout')
})

test('without secrets, a machine with a config is foreign', async () => {
  const [first] = await withMachines({ 'home-cp1': 'ours' }, () =>
    observeNodeStates(cluster, answering({}), undefined),
  )
  assert.is(first?.state.kind, 'foreign')
})

const previews: [string, Reply, object | string][] = [
  ['no difference', { stderr: '', stdout: '' }, 'no output'],
  [
    'nothing to change',
    'Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nNo changes.\n',
    { kind: 'nothing' },
  ],
  [
    'a change that is live',
    'Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\n+ secret: x\n',
    { kind: 'live' },
  ],
  [
    'a change that needs a reboot',
    'Dry run summary:\nApplied configuration with a reboot (skipped in dry-run).\nConfig diff:\n\n+ a',
    { kind: 'reboot' },
  ],
  [
    'a rejection',
    {
      stderr:
        'error applying new configuration: rpc error: code = InvalidArgument desc = 1 error occurred:\n\t* no such disk\n',
    },
    { kind: 'rejected', reason: '1 error occurred:\n\t* no such disk' },
  ],
  [
    'a machine that is gone',
    { stderr: 'rpc error: code = Unavailable desc = dial timeout' },
    'dial timeout',
  ],
]
for (const [title, reply, expected] of previews)
  test(`a dry run that reports ${title} is understood`, async () => {
    const [node] = cluster.nodes
    if (node === undefined) throw new Error('no machine')
    const preview = previewConfig(
      node,
      'config.yaml',
      fakeTalosctl(() => reply),
    )
    assert.equal(await preview.catch((error: Error) => error.message), expected)
  })

const all = { 'home-cp1': 'ours', 'home-cp2': 'ours', 'home-cp3': 'ours' } as const
const notFound = {
  stderr: '3 errors occurred:\n\t* rpc error: code = NotFound desc = resource etcd not found',
}
const etcdRows: [
  string,
  Readonly<Record<string, 'ours' | 'waiting'>>,
  (words: string, nodes: readonly string[]) => Reply,
  string,
][] = [
  [
    'runs somewhere',
    { 'home-cp2': 'ours' },
    () => ({ ...notFound, stdout: resource(cp2, { running: true, healthy: false }) }),
    'running',
  ],
  ['never ran', all, (words) => (words.startsWith('get') ? notFound : 'NODE   NAME\n.\n'), 'none'],
  [
    'never ran, without its folder',
    all,
    (words) =>
      words.startsWith('get')
        ? notFound
        : {
            stderr:
              'rpc error: code = Unknown desc = lstat /var/lib/etcd: no such file or directory',
          },
    'none',
  ],
  [
    'ran, and is stopped',
    all,
    (words, [node]) =>
      words.startsWith('get')
        ? notFound
        : node === cp3
          ? '.\nmember\nNODE   NAME\n'
          : '.\nNODE   NAME\n',
    'stopped',
  ],
  ['is not known while a control plane is off', { 'home-cp1': 'ours' }, () => notFound, 'home-cp2'],
  [
    'is not known while a control plane waits for its config',
    { ...all, 'home-cp3': 'waiting' },
    () => notFound,
    'home-cp3 has no machine config',
  ],
  [
    'is not known when a folder cannot be read',
    all,
    (words) =>
      words.startsWith('get')
        ? notFound
        : { stderr: 'rpc error: code = PermissionDenied desc = not authorized' },
    'not authorized',
  ],
]
for (const [title, machines, reply, expected] of etcdRows)
  test(`etcd ${title}`, async () => {
    const state = await withMachines(machines, () =>
      observeEtcdState(cluster, fakeTalosctl(reply), secrets).catch(
        (error: Error) => error.message,
      ),
    )
    assert.ok(state === expected || state.includes(expected.replace('home-cp2', cp2)), state)
  })

test.run()
