import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { projectRoot } from '../src/root.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'
import { ended } from './host/host-behaviour.ts'
import { hasSshd, startSshd } from '@talosmith/core/testing'

/** Stopping a run by a signal, as users and Nx do it. */
const test = suite('a stopped run')
const path = join(import.meta.dirname, 'stopped-program.ts')
const name = `talosmith-stop-${process.pid}`
const generated = join(projectRoot, 'generated', name)
test.after(() => rmSync(generated, { recursive: true, force: true }))

interface Stopped {
  readonly code: number | null
  readonly stderr: string
  /** From the first signal to the end. */
  readonly seconds: number
  readonly folder: string
}

/** Starts the program, and sends it signals in turn, with a pause after each, once `isUnderWay`. */
async function stop(
  how: string,
  isUnderWay: (folder: string, stderr: string) => boolean,
  signals: readonly (readonly [NodeJS.Signals, number])[] = [['SIGTERM', 0]],
  uri = 'qemu:///system',
): Promise<Stopped> {
  const folder = temporaryFolder('stop')
  const args = ['--import', 'tsx', path, '--how', how, '--folder', folder]
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      ...{ CLUSTER: 'example', CLUSTER_NAME: name, LIBVIRT_URI: uri, FAILURE_BUNDLE: 'true' },
    },
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const end = new Promise<number | null>((resolve) => child.on('close', resolve))
  while (!isUnderWay(folder, stderr)) {
    assert.is(child.exitCode, null, stderr)
    await sleep(20)
  }
  assert.ok(existsSync(join(generated, 'lock')))
  const started = performance.now()
  for (const [signal, pauseMs] of signals) {
    child.kill(signal)
    await sleep(pauseMs)
  }
  const code = await end
  return { code, stderr, seconds: (performance.now() - started) / 1000, folder }
}

/** Asserts that the run printed one line about the stop and left nothing behind. */
function assertTidy({ code, stderr, folder }: Stopped, signal: NodeJS.Signals = 'SIGTERM'): void {
  assert.is(code, 1)
  assert.match(stderr, `stopped by ${signal}; run the same command again to continue\n`)
  assert.not.match(stderr, /^ {4}at |bug in Talosmith|looking for the cause|because:/m)
  assert.is(stderr.match(/stopped by/g)?.length, 1, stderr)
  assert.equal(
    readdirSync(folder).filter((file) => file !== 'pids'),
    [],
  )
  assert.not.ok(existsSync(join(generated, 'lock')))
}

const hasPids = (folder: string): boolean =>
  existsSync(join(folder, 'pids')) &&
  readFileSync(join(folder, 'pids'), 'utf8').split('\n').length > 2
const hasPrinted =
  (text: string) =>
  (_: string, stderr: string): boolean =>
    stderr.includes(text)

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`by ${signal} ends its running command and begins no other`, async () => {
    const stopped = await stop('local', hasPids, [[signal, 0]])
    assertTidy(stopped, signal)
    await ended(join(stopped.folder, 'pids'), 2)
    assert.ok(stopped.seconds < 3, `${stopped.seconds} s`)
  })

for (const [how, text] of [
  ['wait', 'it has begun'],
  ['pause', 'waiting for what never comes: not yet'],
] as const)
  test(`ends a ${how} at once`, async () => {
    const stopped = await stop(how, hasPrinted(text))
    assertTidy(stopped)
    assert.ok(stopped.seconds < 3, `${stopped.seconds} s`)
  })

test('ends within five seconds although a part of it ignores the signal', async () => {
  const { code, seconds, stderr } = await stop('deaf', hasPrinted('it has begun'))
  assert.is(code, 1, stderr)
  assert.ok(seconds > 3.5 && seconds < 4.9, `${seconds} s`)
  assert.not.ok(existsSync(join(generated, 'lock')))
})

test('treats signals in quick succession as one, and ends at once after a later one', async () => {
  const together = [
    ['SIGINT', 50],
    ['SIGINT', 50],
    ['SIGTERM', 1200],
    ['SIGTERM', 0],
  ] as const
  const { code, seconds } = await stop('deaf', hasPrinted('it has begun'), together)
  assert.is(code, 1)
  assert.ok(seconds > 1.2 && seconds < 3.5, `${seconds} s`)
})

if (hasSshd) {
  const sshd = await startSshd()
  test('ends its command on a remote host with its children', async () => {
    const stopped = await stop('remote', hasPids, [['SIGTERM', 0]], sshd.uri)
    // The program ends its commands before it exits, not by closing the connection.
    await ended(join(stopped.folder, 'pids'), 2)
    assertTidy(stopped)
    assert.ok(stopped.seconds < 4, `${stopped.seconds} s`)
  })
  test('leaves no partial upload', async () => {
    const stopped = await stop('upload', hasPrinted('it uploads'), [['SIGTERM', 0]], sshd.uri)
    assert.is(stopped.code, 1)
    assert.equal(
      readdirSync(stopped.folder).filter((file) => file !== 'to'),
      [],
    )
  })
  test.after(() => sshd.stop())
} else console.log('SKIPPED: stopping commands of remote hosts needs root and /usr/sbin/sshd')

test.run()
