import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { reportFailure } from '../src/failure-report.ts'
import { silentLog } from '../src/log.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

/** What is logged when `script` runs as the program that looks for the cause. */
async function linesOf(script: string): Promise<string[]> {
  const node = join(temporaryFolder('failure-report'), 'node')
  writeFileSync(node, `#!/bin/sh\n${script}\n`)
  chmodSync(node, 0o755)
  const lines: string[] = []
  await reportFailure({ file: 'home' }, { ...silentLog, info: (text) => lines.push(text) }, node)
  return lines
}

test('prints the cause and the bundle', async () => {
  const lines = await linesOf(
    `printf '{"path":"/b.tar.zst","cause":"MACHINE_OFF on w1: it is off"}'`,
  )
  assert.is(lines.length, 3)
  assert.match(
    lines[1] ?? '',
    'likely cause: MACHINE_OFF on w1: it is off; how to fix it: CLUSTER=home npx',
  )
  assert.match(lines[2] ?? '', '/b.tar.zst')
})

test('prints the bundle alone without a known cause', async () => {
  assert.is((await linesOf(`printf '{"path":"/b","cause":null}'`)).length, 2)
})

for (const [title, script] of [
  ['fails', 'exit 1'],
  ['prints something else', 'echo hello'],
] as const)
  test(`a search that ${title} adds nothing to the failure`, async () => {
    assert.is((await linesOf(script)).length, 1)
  })

test('the program gets the cluster and --json', async () => {
  const lines = await linesOf(`printf '{"path":"%s","cause":null}' "$*"`)
  assert.match(lines[1] ?? '', /scripts\/bundle\.ts --json --cluster home$/)
})

test.run()
