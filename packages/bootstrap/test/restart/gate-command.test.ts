import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLog } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { UpgradeContext } from '../../src/restart/context.ts'
import { passGateCommand } from '../../src/restart/pass-gate.ts'

const marker = 'Zq1nightfall'

/** Runs a gate command that has a password, and returns what it left. */
async function runGate(command: string) {
  const root = temporaryFolder('gate')
  const cluster = testCluster({ UPGRADE_GATE_COMMAND: command.replaceAll('ROOT', root) }, root)
  const lines: string[] = []
  const stream = { write: (text: string) => lines.push(text), isTTY: true, columns: 200 }
  const record = join(root, 'record.jsonl')
  const log = createLog({ record: () => record, stream: stream as unknown as NodeJS.WriteStream })
  const running = passGateCommand({ cluster, log } as UpgradeContext, 'home-w1')
  return { root, cluster, lines, record, running }
}
const inArguments = `for pid in /proc/[0-9]*; do (tr '\\0' ' ' <$pid/cmdline; echo) >>ROOT/observed 2>/dev/null; done; `

test('UPGRADE_GATE_COMMAND is in no argument of a process, and its password in no output', async () => {
  const { root, cluster, lines, record, running } = await runGate(
    `${inArguments}PASSWORD=${marker}; echo "me $PASSWORD failed: storage rebuilds" >&2; exit 3`,
  )
  const { code, message, because, now } = await problemOf(running)
  assert.is(code, 'GATE_COMMAND_FAILED')
  assert.is(message, 'UPGRADE_GATE_COMMAND exited with 3')
  assert.is(because, 'me [removed] failed: storage rebuilds')
  assert.is(now, 'home-w1 was not restarted')
  const observed = readFileSync(join(root, 'observed'), 'utf8')
  assert.ok(observed.split('\n').length > 10)
  assert.not.match(observed, marker)
  for (const text of [lines.join(''), readFileSync(record, 'utf8')]) assert.not.match(text, marker)
  assert.equal(readdirSync(join(cluster.generated, 'work')), [])
})

test('UPGRADE_GATE_COMMAND runs as before: empty input, access files, its own exit code', async () => {
  const { root, cluster, running } = await runGate(
    `cat >ROOT/input; echo "$KUBECONFIG $TALOSCONFIG $CLUSTER" >ROOT/observed; true 'a b' | cat`,
  )
  await running
  assert.is(readFileSync(join(root, 'input'), 'utf8'), '')
  const folder = cluster.generated
  assert.is(
    readFileSync(join(root, 'observed'), 'utf8'),
    `${folder}/kubeconfig ${folder}/talosconfig home\n`,
  )
})

test('an error of the shell has no path of ours', async () => {
  const { running } = await runGate('no-such-check --all')
  const { because } = await problemOf(running)
  assert.match(because ?? '', /^1: no-such-check: .*not found$|^line 1: no-such-check: /)
})

test.run()
