import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { reportFailure } from '../src/failure-report.ts'
import { silentLog } from '../src/log.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

/** What is said when the program that looks for the cause does this. */
async function told(script: string): Promise<string[]> {
  const node = join(temporaryFolder('failure-report'), 'node')
  writeFileSync(node, `#!/bin/sh\n${script}\n`)
  chmodSync(node, 0o755)
  const said: string[] = []
  await reportFailure({ file: 'home' }, { ...silentLog, info: (text) => said.push(text) }, node)
  return said
}

test('the cause and the bundle are said', async () => {
  const said = await told(`printf '{"path":"/b.tar.zst","cause":"MACHINE_OFF on w1: it is off"}'`)
  assert.is(said.length, 3)
  assert.match(
    said[1] ?? '',
    'likely cause: MACHINE_OFF on w1: it is off; what mends it: CLUSTER=home npx',
  )
  assert.match(said[2] ?? '', '/b.tar.zst')
})

test('without a known cause the bundle alone is said', async () => {
  assert.is((await told(`printf '{"path":"/b","cause":null}'`)).length, 2)
})

for (const [title, script] of [
  ['fails', 'exit 1'],
  ['says something else', 'echo hello'],
] as const)
  test(`a search that ${title} adds nothing to the failure`, async () => {
    assert.is((await told(script)).length, 1)
  })

test('the program is given the cluster, and asked for JSON', async () => {
  const said = await told(`printf '{"path":"%s","cause":null}' "$*"`)
  assert.match(said[1] ?? '', /scripts\/bundle\.ts --json --cluster home$/)
})

test.run()
