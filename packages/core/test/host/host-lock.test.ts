import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lockHost, newHostLock, type HostLock } from '../../src/host/host-lock.ts'
import { openHost } from '../../src/host/open.ts'
import { describeMyself, type Holder } from '../../src/liveness.ts'
import { localTransport } from '../../src/process/local-transport.ts'
import { runner } from '../../src/process/run.ts'
import { stopOnSignals, stopping } from '../../src/stop.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { quicken } from '../../src/testing/quicken.ts'
import { hasSshd, startSshd } from '../../src/testing/sshd.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const test = suite<{ folder: string; file: string }>('the lock on a host')
const run = runner('kvm1', localTransport)
const warnings: string[] = []
quicken()

test.before.each((context) => {
  context.folder = join(temporaryFolder('host-lock'), 'locks')
  context.file = join(context.folder, 'home.lock')
  warnings.length = 0
})

const lockIn = (folder: string, more: Partial<HostLock> = {}): HostLock => ({
  ...newHostLock('home', 'vm/create.ts', (text) => warnings.push(text)),
  folder,
  ...more,
})
const take = (folder: string, more?: Partial<HostLock>) =>
  lockHost('kvm1', run, lockIn(folder, more))

/** A lock as another run leaves it, last renewed `age` seconds ago; `owner` is the connection's process. */
async function leave(
  file: string,
  age: number,
  { owner = '0', boot = bootId(), ...changes }: Partial<Holder> & { owner?: string; boot?: string },
): Promise<void> {
  const holder = { ...(await describeMyself('bootstrap/upgrade-talos.ts')), ...changes }
  mkdirSync(join(file, '..'), { recursive: true })
  const lines = ['token other', `boot ${boot}`, `owner ${owner}`]
  writeFileSync(file, [...lines, `holder ${JSON.stringify(holder)}`, ''].join('\n'))
  const time = Date.now() / 1000 - age
  utimesSync(file, time, time)
}
const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
const elsewhere = { host: 'laptop', user: 'ann', bootId: 'another', pid: 77 }
const ended = { pid: 2 ** 22 - 1, started: '1' }
const tokenIn = (file: string): string =>
  /^token (.*)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? ''

test('is held until it is released, and leaves nothing behind', async ({ folder, file }) => {
  const release = await take(folder)
  assert.match(readFileSync(file, 'utf8'), `"user":"${userInfo().username}"`)
  assert.is(statSync(folder).mode & 0o7777, 0o777)
  await release()
  assert.not.ok(existsSync(folder))
  assert.equal(warnings, [])
})

test('refuses another run, and names who holds it', async ({ folder }) => {
  const release = await take(folder)
  const problem = await problemOf(take(folder))
  assert.is(problem.code, 'LOCKED')
  assert.match(
    problem.because ?? '',
    new RegExp(
      `^${userInfo().username} on ${hostname()} has been running vm/create.ts .* since .* heartbeat on kvm1 was \\d s ago`,
    ),
  )
  await release()
})

test('is taken once by a run that reaches the same host twice', async ({ folder, file }) => {
  const lock = lockIn(folder)
  const [first, second] = [await lockHost('kvm1', run, lock), await lockHost('kvm2', run, lock)]
  await second()
  assert.ok(existsSync(file))
  await first()
  assert.not.ok(existsSync(file))
})

test('of another run on this machine that has died is taken over at once', async ({
  folder,
  file,
}) => {
  await leave(file, 1, ended)
  const release = await take(folder)
  assert.is.not(tokenIn(file), 'other')
  await release()
})

test('of a run elsewhere is taken over at once when its connection has ended', async ({
  folder,
  file,
}) => {
  await leave(file, 1, { ...elsewhere, owner: `${ended.pid} 1` })
  await (
    await take(folder)
  )()
})

test('from before a reboot of the host is taken over at once', async ({ folder, file }) => {
  await leave(file, 1, { ...elsewhere, boot: 'earlier' })
  await (
    await take(folder)
  )()
})

test('of a run elsewhere that shows that it is alive is refused', async ({ folder, file }) => {
  for (const age of [0, 30]) {
    await leave(file, age, elsewhere)
    const problem = await problemOf(take(folder))
    assert.is(problem.code, 'LOCKED')
    assert.match(problem.because ?? '', 'ann on laptop has been running bootstrap/upgrade-talos.ts')
    assert.match(problem.hint ?? '', 'on laptop: kill 77')
  }
})

test('of a silent run elsewhere is waited for, and taken over after two minutes', async ({
  folder,
  file,
}) => {
  await leave(file, 60, elsewhere)
  const taken = take(folder)
  for (let looks = 0; warnings.length === 0; looks += 1) {
    assert.ok(looks < 500, 'it does not say that it waits')
    await sleep(20)
  }
  await sleep(300)
  assert.is(tokenIn(file), 'other')
  assert.is(warnings.length, 1)
  assert.match(
    warnings[0] ?? '',
    /waiting for the lock of home on kvm1: ann on laptop .* for 6\d s/,
  )
  await leave(file, 130, elsewhere)
  await (
    await taken
  )()
  assert.not.ok(existsSync(file))
})

test('of ten parallel runs one at a time gets it, also a stale one', async ({ folder, file }) => {
  await leave(file, 1, ended)
  let inside = 0
  const ends = await Promise.all(
    Array.from({ length: 10 }, async () => {
      try {
        const release = await take(folder)
        inside += 1
        assert.is(inside, 1)
        await sleep(50)
        inside -= 1
        await release()
        return 'ran'
      } catch (error) {
        return (error as { code?: string }).code
      }
    }),
  )
  assert.ok(ends.includes('ran'))
  assert.ok(
    ends.every((end) => end === 'ran' || end === 'LOCKED'),
    ends.join(),
  )
  assert.equal(warnings, [])
})

test('that cannot be kept is a warning', async ({ folder, file }) => {
  const spoil: (() => void)[] = [
    () => writeFileSync(folder, ''),
    () => symlinkSync('/nonexistent', folder),
    () => mkdirSync(file, { recursive: true }),
    () => (mkdirSync(folder), symlinkSync('/nonexistent', file)),
  ]
  for (const make of spoil) {
    await run(`rm -rf -- '${folder}'`, {})
    make()
    await (
      await take(folder)
    )()
    assert.match(warnings.at(-1) ?? '', 'could not lock home on kvm1: ')
  }
  assert.is(warnings.length, spoil.length)
})

test('can be taken over by another user', async ({ folder, file }) => {
  if (process.getuid?.() !== 0) return console.log('SKIPPED: another user needs root')
  chmodSync(join(folder, '..'), 0o755)
  await (
    await take(folder)
  )()
  await leave(file, 1, ended)
  chmodSync(folder, 0o777)
  const asUser = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
  const release = await lockHost(
    'kvm1',
    runner('kvm1', localTransport, { become: asUser }),
    lockIn(folder),
  )
  assert.is(statSync(file).uid, 65_534)
  const problem = await problemOf(take(folder))
  assert.is(problem.code, 'LOCKED')
  await release()
  assert.not.ok(existsSync(file))
})

if (hasSshd)
  test('names the connection whose end frees it', async ({ folder, file }) => {
    const sshd = await startSshd()
    const host = await openHost(sshd.uri, '/', sshd.user, lockIn(folder))
    const [, owner = ''] = /^owner (\d+) \d+$/m.exec(readFileSync(file, 'utf8')) ?? []
    assert.match(readFileSync(`/proc/${owner}/comm`, 'utf8'), /^sshd/)
    await host.close()
    assert.not.ok(existsSync(folder))
    await sshd.stop()
  })
else console.log('SKIPPED: the lock over SSH needs root and /usr/sbin/sshd (openssh-server)')

// The last one, because it stops this program.
test('is renewed while it is held; a run that has lost it is stopped', async ({ folder, file }) => {
  const release = await take(folder, { beatMs: 200 })
  utimesSync(file, 1, 1)
  for (let looks = 0; statSync(file).mtimeMs < 10_000; looks += 1) {
    assert.ok(looks < 500, 'it was not renewed')
    await sleep(20)
  }
  const stops: string[] = []
  stopOnSignals(
    (why) => stops.push(why),
    () => undefined,
  )
  await leave(file, 1, elsewhere)
  for (let looks = 0; !stopping.aborted; looks += 1) {
    assert.ok(looks < 500, 'the run was not stopped')
    await sleep(20)
  }
  assert.match(stops.join(), 'another run has taken over the lock of home on kvm1')
  await release()
  assert.is(tokenIn(file), 'other')
})

test.run()
