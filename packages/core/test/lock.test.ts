import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withLock } from '../src/lock.ts'
import { Problem } from '../src/problem.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

const test = suite<{ cluster: { name: string; generated: string }; lock: string }>('lock')

test.before.each((context) => {
  context.cluster = {
    name: 'home',
    generated: join(temporaryFolder('lock'), 'home'),
  }
  context.lock = join(context.cluster.generated, 'lock')
})
test.after.each(({ cluster }) => rmSync(join(cluster.generated, '..'), { recursive: true }))

const me = (changes: object = {}): string => {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  return JSON.stringify({
    pid: process.pid,
    started: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19],
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    namespace: readlinkSync('/proc/self/ns/pid'),
    host: hostname(),
    command: 'vm/create.ts',
    since: '2026-01-01T00:00:00.000Z',
    ...changes,
  })
}

test('is held during the work, and removed afterwards', async ({ cluster, lock }) => {
  const result = await withLock(cluster, 'vm/create.ts', async () => {
    const holder = JSON.parse(readFileSync(lock, 'utf8')) as Record<string, unknown>
    assert.is(holder['pid'], process.pid)
    assert.is(holder['command'], 'vm/create.ts')
    return 7
  })
  assert.is(result, 7)
  assert.equal(readdirSync(cluster.generated), [])
})

test('is readable by its owner only', async ({ cluster, lock }) => {
  await withLock(cluster, 'x', async () => {
    assert.is(statSync(lock).mode & 0o777, 0o600)
  })
})

test('of a zombie process is taken over', async ({ cluster, lock }) => {
  // The shell starts a child, becomes a program that never waits for it, and the child ends: a zombie.
  const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    const pid = Number(String((await once(parent.stdout, 'data'))[0]))
    const statOf = (): string => readFileSync(`/proc/${pid}/stat`, 'utf8')
    for (let looks = 0; !statOf().includes(') Z '); looks += 1) {
      assert.ok(looks < 1000, 'the child did not end')
      await sleep(10)
    }
    const started = statOf()
      .slice(statOf().lastIndexOf(')') + 2)
      .split(' ')[19]
    mkdirSync(cluster.generated, { recursive: true })
    writeFileSync(lock, me({ pid, started }))
    assert.is(await withLock(cluster, 'x', () => Promise.resolve(7)), 7)
  } finally {
    parent.kill('SIGKILL')
  }
})

test('is released when the work fails', async ({ cluster, lock }) => {
  const error = new Error('broke')
  const thrown = await withLock(cluster, 'x', () => Promise.reject(error)).catch((e: unknown) => e)
  assert.is(thrown, error)
  assert.not.ok(existsSync(lock))
})

test('refuses a second run and names the first', async ({ cluster }) => {
  await withLock(cluster, 'vm/create.ts', async () => {
    const problem = await refusal(cluster)
    assert.is(problem.code, 'LOCKED')
    assert.match(
      problem.because ?? '',
      `process ${process.pid} on ${hostname()} has been running vm/create.ts`,
    )
    assert.match(problem.hint ?? '', `kill ${process.pid}`)
  })
})

test('of fifty parallel runs one gets it', async ({ cluster }) => {
  let inside = 0
  const runs = Array.from({ length: 50 }, () =>
    withLock(cluster, 'x', async () => {
      inside += 1
      assert.is(inside, 1)
      await sleep(20)
      inside -= 1
    }).then(
      () => 'ran',
      (error: unknown) => (error as Problem).code,
    ),
  )
  const ends = await Promise.all(runs)
  assert.ok(ends.includes('ran'))
  assert.ok(ends.every((end) => end === 'ran' || end === 'LOCKED'))
})

const stale: Record<string, () => string> = {
  'a process that has ended': () => me({ pid: 2 ** 22 - 1, started: '1' }),
  'another process with the same id': () => me({ started: '1' }),
  'an earlier boot': () => me({ bootId: 'another' }),
  'a run that was killed while writing': () => '{"pid": 1',
  'an empty file': () => '',
}
for (const [whose, text] of Object.entries(stale))
  test(`takes over the lock of ${whose}`, async ({ cluster, lock }) => {
    await withLock(cluster, 'x', async () => undefined)
    writeFileSync(lock, text())
    await withLock(cluster, 'x', async () => {
      assert.is((JSON.parse(readFileSync(lock, 'utf8')) as { pid: number }).pid, process.pid)
    })
    assert.equal(readdirSync(cluster.generated), [])
  })

test('of fifty parallel runs one takes over a stale lock', async ({ cluster, lock }) => {
  await withLock(cluster, 'x', async () => undefined)
  writeFileSync(lock, me({ started: '1' }))
  let inside = 0
  const work = async (): Promise<void> => {
    inside += 1
    assert.is(inside, 1)
    await sleep(50)
    inside -= 1
  }
  const ends = await Promise.allSettled(
    Array.from({ length: 50 }, () => withLock(cluster, 'x', work)),
  )
  assert.ok(ends.some(({ status }) => status === 'fulfilled'))
})

test('is not taken over from a run on another machine', async ({ cluster, lock }) => {
  await withLock(cluster, 'x', async () => undefined)
  writeFileSync(lock, me({ host: 'laptop', bootId: 'another', started: '1' }))
  const problem = await refusal(cluster)
  assert.match(problem.because ?? '', 'laptop')
  assert.match(problem.hint ?? '', lock)
  rmSync(lock)
})

test('is not taken over from a run in another container', async ({ cluster, lock }) => {
  await withLock(cluster, 'x', async () => undefined)
  writeFileSync(lock, me({ namespace: 'pid:[1]', pid: 2 ** 22 - 1, started: '1' }))
  assert.is((await refusal(cluster)).code, 'LOCKED')
  rmSync(lock)
})

const bare = spawnSync('unshare', ['-m', 'true']).status === 0
if (!bare) console.log('SKIPPED: the lock on a machine without /proc needs root and unshare')
else
  test('holds on a machine without /proc, as on macOS', async ({ cluster, lock }) => {
    const module = fileURLToPath(new URL('../src/lock.ts', import.meta.url))
    const program = `import { withLock } from ${JSON.stringify(module)}
import { writeFileSync } from 'node:fs'
const cluster = ${JSON.stringify(cluster)}
const run = () => withLock(cluster, 'x', async () => 'ran').catch((error) => error.code)
const nested = await withLock(cluster, 'x', run)
const dead = { pid: 4194303, started: '', bootId: '', host: ${JSON.stringify(hostname())} }
writeFileSync(${JSON.stringify(lock)}, JSON.stringify(dead))
console.log(nested, await run())`
    const args = ['-m', 'sh', '-c', 'mount -t tmpfs none /proc; exec "$@"', 'sh', process.execPath]
    const flags = ['--import', 'tsx', '--input-type=module', '-e', program]
    const { stdout, stderr } = spawnSync('unshare', [...args, ...flags], { encoding: 'utf8' })
    assert.is(stdout, 'LOCKED ran\n', stderr)
  })

for (const [end, code] of [
  ['process.exit', 'process.exit(3)'],
  ['SIGKILL', `process.kill(process.pid, 'SIGKILL')`],
] as const)
  test(`is free again after a run that ended by ${end}`, async ({ cluster, lock }) => {
    const module = fileURLToPath(new URL('../src/lock.ts', import.meta.url))
    const program = `import { withLock } from ${JSON.stringify(module)}
await withLock(${JSON.stringify(cluster)}, 'x', async () => { ${code} })`
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program],
      {
        stdio: 'inherit',
      },
    )
    await once(child, 'exit')
    assert.is(existsSync(lock), end === 'SIGKILL')
    assert.is(await withLock(cluster, 'x', async () => 'mine'), 'mine')
  })

test('a link instead of the folder is refused, and nothing is written to its target', async ({
  cluster,
}) => {
  const elsewhere = temporaryFolder('lock')
  symlinkSync(elsewhere, cluster.generated)
  assert.is((await refusal(cluster)).code, 'GENERATED_IS_A_LINK')
  assert.equal(readdirSync(elsewhere), [])
})

test('a folder that is not writable is reported', async ({ cluster }) => {
  mkdirSync(cluster.generated)
  chmodSync(cluster.generated, 0o555)
  chmodSync(join(cluster.generated, '..'), 0o755)
  const isRoot = process.getuid?.() === 0
  // Permissions do not apply to root.
  if (isRoot) process.seteuid?.(65_534)
  try {
    const problem = await refusal(cluster)
    assert.is(problem.code, 'GENERATED_NOT_WRITABLE')
    assert.match(problem.hint ?? '', cluster.generated)
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

async function refusal(cluster: { name: string; generated: string }): Promise<Problem> {
  const error = await withLock(cluster, 'second', async () => undefined).then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof Problem) return error
  throw error
}

test.run()
