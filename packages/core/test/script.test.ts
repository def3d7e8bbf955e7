// limit: 300 s
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withLock } from '../src/lock.ts'
import { projectRoot } from '../src/root.ts'
import { freePort, hasSshd, startSshd } from '../src/testing/sshd.ts'
import { within } from '../src/testing/within.ts'

/** script.ts in a separate process, as users run it. */
const program = suite('a script')
const path = join(import.meta.dirname, 'script-program.ts')
const waiting = join(import.meta.dirname, 'waiting-program.ts')
const hosts = join(import.meta.dirname, 'hosts-program.ts')
const name = `talosmith-test-${process.pid}`
const generated = join(projectRoot, 'generated', name)
const secret = 'b5f0c7secret'

const tidy = (): void => rmSync(generated, { recursive: true, force: true })
program.before.each(tidy)
program.after(tidy)

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...{ CLUSTER: 'example', CLUSTER_NAME: name, FAILURE_BUNDLE: 'false', TEST_SECRET: secret },
      ...env,
    },
  })
  const outputs = { stdout: '', stderr: '' }
  for (const output of ['stdout', 'stderr'] as const)
    child[output].on('data', (chunk: Buffer) => (outputs[output] += chunk.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...outputs })))
}
const run = (...args: readonly string[]): Promise<Ended> => start([path, ...args])

const stack = /^ {4}at /m
const records = (): string[] =>
  existsSync(join(generated, 'runs')) ? readdirSync(join(generated, 'runs')) : []
const onlyRecord = (): string => join(generated, 'runs', records()[0] ?? 'none')
const events = (): { event: string; text?: string; code?: string }[] =>
  readFileSync(onlyRecord(), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string })

program('that succeeds ends with 0 and prints only its result on stdout', async () => {
  const { code, stdout, stderr } = await run()
  assert.is(code, 0, stderr)
  assert.equal(JSON.parse(stdout), { cluster: name, confirmed: false, locked: true })
  assert.match(stderr, 'making the disk of w1')
  assert.match(stderr, `CLUSTER_NAME=${name} from the environment, instead of env/example.env\n`)
  assert.match(stderr, 'FAILURE_BUNDLE=false from the environment, not in env/example.env\n')
})

program('that changes something fails at once while another run holds the lock', async () => {
  const { code, stderr } = await withLock({ name, generated }, 'another run', () => run())
  assert.is(code, 1)
  assert.match(stderr, /^LOCKED: /m)
  assert.match(stderr, /^ {2}now: nothing was changed$/m)
  assert.not.match(stderr, 'making the disk')
})

program('that deletes data fails before it begins if CONFIRM names another cluster', async () => {
  const { code, stderr } = await start([path, '--how', 'loss'], { CONFIRM: 'example' })
  assert.is(code, 1)
  assert.match(stderr, /^CONFIRM_MISSING: /m)
  assert.not.match(stderr, 'making the disk')
})

program('that deletes data runs when CONFIRM names the cluster', async () => {
  const { code, stdout, stderr } = await start([path, '--how', 'loss'], { CONFIRM: name })
  assert.is(code, 0, stderr)
  assert.is((JSON.parse(stdout) as { confirmed: boolean }).confirmed, true)
})

program('leaves a run record that only its user can read, and no lock', async () => {
  await run()
  assert.is(records().length, 1)
  assert.equal(
    events().map(({ event, text }) => [event, text]),
    [
      ['start', 'making the disk of w1'],
      ['done', 'making the disk of w1'],
    ],
  )
  assert.is(statSync(onlyRecord()).mode & 0o777, 0o600)
  assert.is(statSync(join(generated, 'runs')).mode & 0o777, 0o700)
  assert.not.ok(existsSync(join(generated, 'lock')))
})

program('that only waits leaves a run record', async () => {
  const { code, stderr } = await start([waiting])
  assert.is(code, 0, stderr)
  assert.equal(
    events().map(({ event }) => event),
    ['info', 'waiting', 'info', 'waited'],
  )
  assert.match(events()[0]?.text ?? '', 'waiting for w1 to answer: it boots')
})

/** With a bundle after a failure; the host refuses connections at once, so that the diagnosis is short. */
const searching = { FAILURE_BUNDLE: 'true', LIBVIRT_URI: 'qemu+ssh://root@127.0.0.1:1/system' }
const bundles = (): number =>
  existsSync(join(generated, 'bundles')) ? readdirSync(join(generated, 'bundles')).length : 0

for (const [title, args] of [
  ['after it has begun a step', [path, '--how', 'problem']],
  ['after it has only waited', [waiting, '--boots', '1000']],
] as const)
  program(`that fails ${title} looks for the cause`, async () => {
    const { code, stderr } = await start(args, searching)
    assert.is(code, 1)
    assert.match(stderr, 'looking for the cause')
    assert.match(stderr, 'likely cause: ')
    assert.is(bundles(), 1)
  })

program('that fails before it has begun anything does not look for the cause', async () => {
  const { code, stderr } = await start([path, '--how', 'refused'], searching)
  assert.is(code, 1)
  assert.match(stderr, /^ {2}now: nothing was changed$/m)
  assert.not.match(stderr, 'looking for the cause')
  assert.is(bundles(), 0)
})

program(
  'that fails as a later stage before it has begun reports that the earlier ones are done',
  async () => {
    const { stderr } = await start([path, '--how', 'refused'], { TALOSMITH_LATER_STAGE: 'true' })
    assert.match(stderr, 'now: this stage changed nothing; the stages before it are done')
  },
)

program('that has only waited has changed nothing', async () => {
  const { stderr } = await start([waiting, '--boots', '1000'])
  assert.match(stderr, /^ {2}now: the cluster was not changed$/m)
})

program(
  'that throws a Problem prints it without a stack, records its code and ends with 1',
  async () => {
    const { code, stdout, stderr } = await run('--how', 'problem')
    assert.is(code, 1)
    assert.is(stdout, '')
    assert.match(
      stderr,
      /^DISK_FULL: the pool is full\n {2}because: .+\n {2}now: the steps above with ✓ are done, .+\n {2}try: make room$/m,
    )
    assert.not.match(stderr, stack)
    // FAILURE_BUNDLE is off here.
    assert.not.match(stderr, 'looking for the cause')
    assert.equal(events().at(-1)?.code, 'DISK_FULL')
  },
)

program('that throws any other error reports a bug with a stack, and ends with 1', async () => {
  const { code, stderr } = await run('--how', 'bug')
  assert.is(code, 1)
  assert.match(stderr, 'a bug in Talosmith')
  assert.match(stderr, 'TypeError: w1 is undefined')
  assert.match(stderr, stack)
  assert.equal(events().at(-1)?.event, 'bug')
})

program('that returns a failure ends with 1', async () => {
  assert.is((await run('--how', 'returned failure')).code, 1)
})

program('never prints or records the input of a command', async () => {
  for (const how of ['done', 'problem', 'failing command']) {
    tidy()
    const { stdout, stderr } = await run('--how', how)
    assert.not.match(stdout + stderr, secret, how)
    assert.not.match(readFileSync(onlyRecord(), 'utf8'), secret, how)
  }
})

program(
  'with --dry-run ends with 2 when there is something to do, and writes nothing',
  async () => {
    const { code, stdout } = await run('--dry-run')
    assert.is(code, 2)
    assert.match(stdout, 'Make the disk of w1')
    assert.not.ok(existsSync(generated))
  },
)

program('with --dry-run ends with 0 when there is nothing to do', async () => {
  // It waits for no lock.
  const { code, stdout } = await withLock({ name, generated }, 'another run', () =>
    run('--dry-run', '--json', '--how', 'nothing'),
  )
  assert.is(code, 0)
  assert.equal(JSON.parse(stdout), [])
})

program('with --help prints its options and does nothing', async () => {
  const { code, stdout } = await run('--help')
  assert.is(code, 0)
  assert.match(stdout, /End as requested\.[^]+--dry-run[^]+--how <text>/)
  assert.not.ok(existsSync(generated))
})

program('reads an option from the environment, which Nx passes on', async () => {
  const { code, stderr } = await start([path], { HOW: 'problem', TALOSMITH_LATER_STAGE: 'true' })
  assert.is(code, 1)
  assert.not.match(stderr, 'from the environment', 'the first stage has printed it')
})

program('ends with 64 for an unknown option', async () => {
  const { code, stderr } = await run('--hwo', 'done')
  assert.is(code, 64)
  assert.match(stderr, 'did you mean --how?')
  assert.match(stderr, /^ {2}now: nothing was changed$/m)
  assert.not.match(stderr, stack)
})

for (const [title, env, problemCode] of [
  ['an invalid setting', { WORKER_COUNT: 'many' }, 'SETTINGS_INVALID'],
  ['a cluster without a file', { CLUSTER: 'exampel' }, 'CLUSTER_UNKNOWN'],
] as const)
  program(`ends with 78 for ${title}`, async () => {
    const { code, stderr } = await start([path], env)
    assert.is(code, 78)
    assert.match(stderr, problemCode)
    assert.match(stderr, /^ {2}now: nothing was changed$/m)
    assert.not.match(stderr, stack)
    assert.not.ok(existsSync(generated))
  })

if (hasSshd)
  for (const dead of ['first', 'last'] as const)
    program(`ends when the ${dead} of two hosts can't be reached`, async () => {
      const sshd = await startSshd()
      const uris = [`qemu+ssh://root@127.0.0.1:${await freePort()}/system`, sshd.uri]
      const LIBVIRT_URI = (dead === 'first' ? uris : uris.toReversed()).join(',')
      const ended = start([hosts], { LIBVIRT_URI })
      const { code, stderr } = await within(30_000, 'the program to end', ended)
      assert.is(code, 1)
      assert.match(stderr, /^SSH_CONNECTION_REFUSED: /m)
      assert.match(stderr, /^ {2}now: the cluster was not changed$/m)
      await sshd.stop()
    })
else console.log('SKIPPED: a run with two hosts needs root and /usr/sbin/sshd (openssh-server)')

program('runs, with a warning, when its run record cannot be written', async () => {
  mkdirSync(generated, { recursive: true })
  for (const make of [
    () => writeFileSync(join(generated, 'runs'), ''),
    () => symlinkSync('/nonexistent', join(generated, 'runs')),
  ]) {
    rmSync(join(generated, 'runs'), { force: true })
    make()
    const { code, stderr } = await run()
    assert.is(code, 0, stderr)
    assert.match(stderr, 'this run is not recorded: ')
  }
})

program('that another file imports does not run', async () => {
  const text = `import it from ${JSON.stringify(path)}; console.log(it.summary)`
  const { code, stdout } = await start(['--input-type=module', '--eval', text])
  assert.is(code, 0)
  assert.is(stdout, 'End as requested.\n')
  assert.not.ok(existsSync(generated))
})

program.run()
