import { spawn } from 'node:child_process'
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { copyWorkspace } from '@talosmith/core/testing'

const copy = copyWorkspace(['lab/tools'])
const compiled = suite('a compiled program')
compiled.after(() => rmSync(dirname(copy), { recursive: true }))

const source = join(copy, 'scripts', 'up.ts')
const text = readFileSync(source, 'utf8')
const made = join(copy, 'dist', 'programs')

/** Resolves to the exit code and the output. */
function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['tools/build/run.js', 'scripts/up.ts', ...args], {
    cwd: copy,
    env: { ...process.env, CLUSTER: 'home' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

compiled('has its options, and its exit code', async () => {
  assert.match((await run('--help')).output, 'how to use the cluster')
  assert.is((await run('--nonsense')).code, 64)
})

compiled('is compiled once, even if two start in parallel', async () => {
  rmSync(made, { recursive: true })
  const two = await Promise.all([run('--help'), run('--help')])
  for (const { code, output } of two) {
    assert.is(code, 0, output)
    assert.match(output, 'how to use the cluster')
  }
  assert.is(readdirSync(made).length, 1)
})

compiled('is compiled again when its source changes, into a folder of its own', async () => {
  const [before = ''] = readdirSync(made)
  writeFileSync(source, text.replaceAll('how to use', 'how to reach'))
  assert.match((await run('--help')).output, 'how to reach the cluster')
  assert.ok(readdirSync(made).includes(before))
})

compiled('replaces compiled programs that were not used for a day', async () => {
  const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000)
  for (const name of readdirSync(made)) utimesSync(join(made, name), longAgo, longAgo)
  writeFileSync(source, text)
  await run('--help')
  assert.is(readdirSync(made).length, 1)
})

compiled('prints what is wrong with a source, and the command that runs its source', async () => {
  appendFileSync(source, 'const const\n')
  const { code, output } = await run('--help')
  assert.is(code, 1)
  assert.match(output, 'scripts/up.ts')
  assert.match(output, 'npx tsx scripts/up.ts')
  assert.is(readdirSync(made).length, 1)
})

compiled.run()
