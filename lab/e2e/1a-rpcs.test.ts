import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findTool, generatedFiles, local } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { call, callsOf, readerAccess, type Call, type Where } from './rpcs.ts'
import { labCluster, nx, withHost } from './support.ts'

// The cluster of 1-up, which is running and healthy.
const cluster = await labCluster()
const addressOf = (name: string): string =>
  cluster.nodes.find((node) => node.name === name)?.address ?? ''
const folder = temporaryFolder('rpcs')
const where: Where = {
  controlPlane: addressOf('lab-cp1'),
  worker: addressOf('lab-w1'),
  installer: cluster.image.installer,
  folder,
}
const rebooted = addressOf('lab-w2')

interface Answer {
  readonly code: number
  readonly text: string
}

/** Makes a call; one that never ends is repeated with more time until it has printed the expected text. */
async function make(one: Call): Promise<Answer> {
  if (!one.isEndless) return makeOnce(one)
  for (const seconds of [5, 15]) {
    const answer = await makeOnce(one, seconds)
    if (one.expected.test(answer.text)) return answer
  }
  return makeOnce(one, 60)
}

async function makeOnce({ words, isReader }: Call, endAfter?: number): Promise<Answer> {
  const { path } = await findTool('talosctl', cluster)
  const access = isReader ? join(folder, 'reader') : generatedFiles(cluster).path('talosconfig')
  const command = [path, '--talosconfig', access, ...words]
  const timed =
    endAfter === undefined
      ? command
      : ['timeout', '--foreground', '-s', 'INT', String(endAfter), ...command]
  // The dashboard needs a terminal with a size.
  const shown = words.includes('dashboard') ? inTerminal(timed) : timed
  const { exitCode, stdout, stderr } = await local.$({
    nothrow: true,
    timeoutMs: 150_000,
    env: { TERM: 'xterm', SHELL: '/bin/sh' },
  })`${shown}`
  return { code: exitCode, text: plain(stdout + stderr) }
}

/**
 * A command in a terminal of its own. The shell of script is always sh, not $SHELL, and `timeout` stays in the
 * foreground: a background program that reads from a terminal is stopped.
 */
function inTerminal(command: readonly string[]): string[] {
  const quoted = command.map((word) => `'${word}'`).join(' ')
  return ['script', '-qec', `stty rows 40 cols 160; exec ${quoted}`, '/dev/null']
}

/** Text without terminal control sequences. */
function plain(text: string): string {
  return text.replace(/\x1b(?:\[[0-9;?<>]*[a-zA-Z]|[()][B0]|[=>])/g, '').replaceAll('\r', '')
}

function check({ expected, code }: Call, answer: Answer | undefined): void {
  assert.is(answer?.code, code, answer?.text)
  assert.match(
    answer?.text ?? '',
    expected,
    `not ${String(expected)}: ${answer?.text.slice(-2000)}`,
  )
}

/** Repeats a call until the answer is accepted; a machine that restarts does not answer for a while. */
async function until(one: Call, accepts: (text: string) => boolean): Promise<void> {
  for (let tries = 0; tries < 60; tries++) {
    const { code, text } = await make(one).catch(() => ({ code: 1, text: '' }))
    if (code === 0 && accepts(text)) return
    await sleep(3000)
  }
  throw new Error(`timed out: ${one.words.join(' ')}`)
}

test('a talosconfig of another role is generated', async () => {
  const one = call(where.controlPlane, readerAccess(where))
  check(one, await make(one))
})

const calls = callsOf(where)
const answers = new Map<Call, Answer>()
test('all calls are made, two at a time', async () => {
  const waiting = [...calls]
  await Promise.all(
    [1, 2].map(async () => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift())
        answers.set(one, await make(one))
    }),
  )
})
for (const one of calls)
  test(`${one.rpc}: ${one.isReader ? 'a reader: ' : ''}talosctl ${one.words.join(' ')}`, () => {
    check(one, answers.get(one))
  })

test('Upgrade: the legacy API of clients before 1.13 installs, and restarts the machine', async () => {
  const bootId = call(rebooted, ['Read', 'read /proc/sys/kernel/random/boot_id', /\S/])
  const before = (await make(bootId)).text
  assert.match(before, /^[0-9a-f-]{36}\n$/)
  const words = `upgrade --legacy --wait=false --drain=false -i ${where.installer}`
  const upgrade = call(rebooted, ['Upgrade', words, /Upgrade request received/])
  check(upgrade, await make(upgrade))
  await until(bootId, (text) => text !== before)
  const status = call(rebooted, ['State/Get', 'get machinestatus', /./])
  await until(status, (text) => /running +true/.test(text))
})

test('Shutdown: powers the machine off, and cluster:start brings it back', async () => {
  const shutdown = call(rebooted, ['Shutdown', 'shutdown --wait=false --force', /.*/])
  check(shutdown, await make(shutdown))
  const state = (): Promise<string> =>
    withHost(cluster, async ({ $ }) => (await $`virsh domstate lab-w2`).stdout.trim())
  for (let tries = 0; tries < 30 && (await state()) !== 'shut off'; tries++) await sleep(2000)
  assert.is(await state(), 'shut off')
  assert.is((await nx('cluster:start')).code, 0)
})

test('the cluster is healthy in the end', async () => {
  assert.is((await nx('bootstrap:health')).code, 0)
})

test.run()
