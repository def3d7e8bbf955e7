import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '@talosmith/core'
import { problemOf, quicken, recordingHost, testCluster } from '@talosmith/core/testing'
import { createCa, fakeTalosctl, resource, showMachine, versions } from '@talosmith/clients/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { observeHang, planBootPrevious, type ObservedHang } from '../src/boot-previous.ts'
import { choosePrevious } from '../src/choose-entry.ts'
import { keepPrevious, waitForPrevious } from '../src/keep-previous.ts'
import { finishedHost } from './observed-hosts.ts'

quicken()
const cluster = testCluster({ NETWORK_CIDR: '127.13.23.0/24', HEALTH_TIMEOUT: '30s' })
const [node] = cluster.nodes
assert.ok(node)
const { name, address } = node
const ca = createCa()
const older = { row: 3, title: 'Talos (v1.12.11)' }
const titles = [
  'Talos (v1.13.9)',
  'Talos (v1.13.9) (Reset to maintenance mode)',
  'Talos (v1.12.11)',
  'Talos (v1.12.11) (Reset to maintenance mode)',
  'Reboot Into Firmware Interface',
]

/** A host whose machine shows the menu after a reset; `loses` keys have no effect, `late` ones a late one. */
function hostWithMenu({ loses = 0, late = 0, shows = true } = {}) {
  let console = 'the boot that failed\r\n'
  let highlighted = 0
  const pending: { in: number; row: number }[] = []
  const keys: string[] = []
  const booted: string[] = []
  const line = (index: number, isOn: boolean): string =>
    `\x1b[0m\x1b[${isOn ? '30m\x1b[47m' : '37m\x1b[40m'}\x1b[${index + 1};26H  ${titles[index]}  `
  const move = (to: number): void => {
    console += line(highlighted, false) + line(to, true)
    highlighted = to
  }
  const host = recordingHost((command) => {
    if (/ reset /.test(command)) {
      if (shows)
        console += `\x1b[2J${titles.map((_, index) => line(index, index === 0)).join('')}\x1b[9;1HBoot in 5 s.`
      return ''
    }
    const key = / (KEY_\w+)$/.exec(command)?.[1]
    if (key !== undefined) {
      keys.push(key)
      if (key === 'KEY_ENTER') booted.push(titles[highlighted] ?? '')
      else if (loses-- <= 0) pending.push({ in: late, row: key === 'KEY_DOWN' ? 1 : -1 })
      return ''
    }
    if (command.includes('tail -c')) {
      for (const one of pending) if (one.in-- === 0) move(highlighted + one.row)
      const from = /^size=(\d+)$/m.exec(command)?.[1]
      return console.slice(Number(from))
    }
    return command.includes('stat -c') ? `${console.length}\n` : undefined
  })
  return { host, keys, booted, write: (text: string) => (console += text) }
}

for (const [what, options, expected] of [
  ['past the entry that deletes the data', {}, ['KEY_DOWN', 'KEY_DOWN', 'KEY_ENTER']],
  ['with a console that lags', { late: 4 }, ['KEY_DOWN', 'KEY_DOWN', 'KEY_ENTER']],
] as const)
  test(`the previous version is chosen ${what}`, async () => {
    const { host, keys, booted } = hostWithMenu(options)
    assert.equal(await choosePrevious(host, name, silentLog), older)
    assert.equal(keys, expected)
    assert.equal(booted, ['Talos (v1.12.11)'])
    assert.is(host.commands.filter((command) => / reset home-cp1$/.test(command)).length, 1)
  })

test('after a key without an effect no other one is sent: it may still come', async () => {
  const { host, keys, booted } = hostWithMenu({ loses: 1 })
  assert.is((await problemOf(choosePrevious(host, name, silentLog))).code, 'BOOT_MENU_UNKNOWN')
  assert.equal([keys, booted], [['KEY_DOWN'], []])
})

test('a machine whose menu does not show is reset, and gets no key', async () => {
  const { host, keys } = hostWithMenu({ shows: false })
  const problem = await problemOf(choosePrevious(host, name, silentLog))
  assert.is(problem.code, 'BOOT_MENU_UNKNOWN')
  assert.match(problem.hint ?? '', 'Never choose "Reset to maintenance mode"')
  assert.equal(keys, [])
})

test('the menu of an earlier boot is not answered', async () => {
  const { host, keys, write } = hostWithMenu({ shows: false })
  write('\x1b[2J\x1b[01;01H\x1b[0m\x1b[30m\x1b[47m\x1b[1;26HTalos (v1.13.9)\x1b[9;1HBoot in 5 s.')
  assert.is((await problemOf(choosePrevious(host, name, silentLog))).code, 'BOOT_MENU_UNKNOWN')
  assert.equal(keys, [])
})

const hangs: ObservedHang = {
  ...{
    name,
    address,
    state: 'running',
    uefi: true,
    answers: false,
    hasConsole: true,
    isWriting: false,
  },
  failure: { kind: 'hangs', line: '[ 3.1] [talos] initialize sequence: failed' },
}
const reverts = { kind: 'reverts', line: 'boot sequence: failed' } as const

test('a machine that hangs is reset, and then rolled back by Talos', () => {
  const changes = planBootPrevious(cluster, hangs)
  assert.equal(
    changes.map(({ kind, target, risk }) => [kind, target, risk]),
    [
      ['boot-previous', name, 'restart'],
      ['keep-previous', name, 'restart'],
    ],
  )
  assert.is(planBootPrevious(cluster, { ...hangs, failure: undefined }).length, 2)
})

for (const [because, over, hint] of [
  ['its Talos API answers', { answers: true }, /talosctl .*rollback/],
  ['cannot be read', { hasConsole: false }, /sudo/],
  ['it is shut off', { state: 'shut off' }, /cluster:start/],
  ['there is no machine', { state: undefined }, /cluster:up/],
  ['still booting', { failure: undefined, isWriting: true }, /run the same command again/],
  ['rolls back by itself', { failure: reverts }, /cluster:status/],
  ['boots by BIOS', { uefi: false }, /Never choose/],
] as const)
  test(`a machine is not reset: ${because}`, async () => {
    const problem = await problemOf(
      Promise.resolve().then(() => planBootPrevious(cluster, { ...hangs, ...over })),
    )
    assert.is(problem.code, 'BOOT_PREVIOUS_REFUSED')
    assert.match(problem.because ?? '', because)
    assert.match(problem.hint ?? '', hint)
    assert.is(problem.now, 'nothing was changed')
  })

const observe = (text: () => string) => {
  const host = recordingHost((command) =>
    command.includes('tail -c') ? text() : `${text().length}\n`,
  )
  return observeHang({ cluster, log: silentLog }, node, finishedHost(cluster), host)
}
const start = '[    0.000000] Linux version 6.18\r\n'

test('a machine that hangs by its console is not watched', async () => {
  const observed = await observe(() => `${start}[ 3.1] [talos] initialize sequence: failed\r\n`)
  assert.equal(observed, hangs)
})

test('a machine whose console cannot be read has none', async () => {
  const host = recordingHost((command) =>
    command.includes('tail -c') ? { exitCode: 1, stderr: 'Permission denied' } : '0\n',
  )
  const on = finishedHost(cluster)
  const observed = await observeHang({ cluster, log: silentLog }, node, on, host)
  assert.is(observed.hasConsole, false)
})

test('a silent machine hangs once its console has stopped, and boots while it goes on', async () => {
  assert.is((await observe(() => start)).isWriting, false)
  let looks = 0
  assert.is((await observe(() => start + 'x'.repeat(looks++))).isWriting, true)
})

test('a machine whose Talos answers in any way is no machine that hangs', async () => {
  const machine = await showMachine(address, { has: createCa().issue('/CN=x'), ca: ca.cert })
  const observed = await observe(() => start)
  await machine.stop()
  assert.is(observed.answers, true)
})

/** A single control plane with the chosen version; `more` answers first. */
function context(more: (words: string) => { stderr: string } | string | undefined) {
  let boot = 1
  const talosctl = fakeTalosctl((words) => {
    const reply = more(words)
    if (reply !== undefined) return reply
    if (words === 'rollback') return `${boot++}`.slice(1)
    if (words === 'version') return versions({ [address]: 'v1.12.11' })
    if (words.startsWith('read')) return `boot-${boot}`
    if (words === 'etcd members')
      return `NODE        ID    HOSTNAME   LEARNER\n${address}   1   ${name}   false`
    if (words === 'etcd status')
      return `NODE        MEMBER   LEADER   RAFT INDEX   RAFT TERM   LEARNER   ERRORS\n${address}   1   1   100   2   false   `
    if (words === 'etcd alarm list') return ''
    return resource(address, { metadata: { name: 'schematic', version: 'abc' } })
  })
  const host = recordingHost((command) => (command.includes('tail -c') ? start : '0'))
  return { cluster, talosctl, talosCa: ca.cert, log: silentLog, host }
}
async function answering<T>(work: () => Promise<T>): Promise<T> {
  const machine = await showMachine(address, { has: ca.issue('/CN=machine'), ca: ca.cert })
  // oxlint-disable-next-line typescript/no-misused-promises -- finally() waits for what its function returns
  return work().finally(() => machine.stop())
}

test('the previous version is kept by a rollback, once etcd is healthy', async () => {
  const own = context(() => undefined)
  await answering(async () => {
    await waitForPrevious(own, node, older, 0)
    await keepPrevious(own, node)
  })
  const calls = own.talosctl.calls.map((call) => call.split(' @')[0])
  assert.ok(calls.indexOf('etcd status') < calls.indexOf('rollback'), calls.join('\n'))
  assert.is(calls.filter((call) => call === 'rollback').length, 1)
})

test('a rollback whose answer is lost has acted once the machine is down, however long it boots', async () => {
  const certificates = { has: ca.issue('/CN=machine'), ca: ca.cert }
  let machine = await showMachine(address, certificates)
  let restarting = Promise.resolve()
  let boot = 'before'
  const own = context((words) => {
    if (words.startsWith('read')) return boot
    if (words !== 'rollback') return undefined
    boot = 'after'
    restarting = machine.stop().then(async () => {
      // 15 s of the waits, which are quickened.
      await sleep(150)
      machine = await showMachine(address, certificates)
    })
    return { stderr: 'rpc error: code = DeadlineExceeded desc = context deadline exceeded' }
  })
  const kept = await keepPrevious(own, node, { actsWithinMs: 5000 }).then(
    () => true,
    () => false,
  )
  await restarting
  await machine.stop()
  assert.ok(kept)
})

test('a rollback that was not carried out is reported with the command that remains', async () => {
  const own = context((words) =>
    words === 'rollback' ? { stderr: 'rpc error: code = Unavailable desc = no route' } : undefined,
  )
  const keep = (): Promise<void> => keepPrevious(own, node, { actsWithinMs: 5000 })
  const problem = await answering(() => problemOf(keep()))
  assert.is(problem.code, 'PREVIOUS_NOT_KEPT')
  assert.match(problem.hint ?? '', /talosctl .*rollback/)
})

test('without a healthy etcd nothing restarts, and the command that remains is printed', async () => {
  const own = context((words) =>
    words.startsWith('etcd') ? { stderr: 'rpc error: code = Unknown desc = no leader' } : undefined,
  )
  const problem = await answering(() => problemOf(keepPrevious(own, node)))
  assert.is(problem.code, 'PREVIOUS_NOT_KEPT')
  assert.match(problem.hint ?? '', /talosctl .*rollback/)
  assert.not(own.talosctl.calls.some((call) => call.startsWith('rollback')))
})

test('a previous version that its Talos did not make the default is reported, without a second rollback', async () => {
  const entry = (text: string): string => Buffer.from(text, 'utf16le').toString('latin1')
  const own = context((words) =>
    words.includes('LoaderEntryDefault')
      ? entry('Talos-v1.13.9.efi')
      : words.includes('LoaderEntrySelected')
        ? entry('talos-v1.12.11.efi')
        : undefined,
  )
  const problem = await answering(() => problemOf(keepPrevious(own, node)))
  assert.is(problem.code, 'PREVIOUS_NOT_KEPT')
  assert.match(problem.because ?? '', 'still talos-v1.13.9.efi')
  assert.not.match(problem.hint ?? '', 'rollback')
  assert.is(own.talosctl.calls.filter((call) => call.startsWith('rollback')).length, 1)
})

test('another version than the chosen one ends the wait', async () => {
  const own = context((words) =>
    words === 'version' ? versions({ [address]: 'v1.13.9' }) : undefined,
  )
  const problem = await answering(() => problemOf(waitForPrevious(own, node, older, 0)))
  assert.is(problem.code, 'PREVIOUS_NOT_BOOTED')
  assert.match(problem.because ?? '', 'it runs v1.13.9')
})

test.run()
