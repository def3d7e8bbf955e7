// limit: 300 s
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { projectRoot } from '@talosmith/core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { copyWorkspace } from '@talosmith/core/testing'

const copy = copyWorkspace(['lab/tools'])
const help = suite('the help of a script')
help.after(() => rmSync(dirname(copy), { recursive: true }))

const packages = readdirSync(join(projectRoot, 'packages')).map(
  (name) => `packages/${name}/scripts`,
)
const scripts = ['scripts', ...packages]
  .filter((folder) => existsSync(join(projectRoot, folder)))
  .flatMap((folder) => readdirSync(join(projectRoot, folder)).map((name) => `${folder}/${name}`))
  .filter((name) => name.endsWith('.ts'))

/** Resolves to what `<script> <option>` prints; without a cluster's env file, as before the first one. */
async function run(script: string, option: string): Promise<{ stdout: string; stderr: string }> {
  const { CLUSTER: _, ...env } = process.env
  const started = promisify(execFile)(process.execPath, ['tools/build/run.js', script, option], {
    cwd: copy,
    env,
  })
  return started.catch((error: unknown) => error as { stdout: string; stderr: string })
}

help('is one text: a sentence, then the options that an error lists', async () => {
  assert.ok(scripts.length > 25)
  for (const script of scripts) {
    const { stdout, stderr } = await run(script, '--help')
    assert.match(stdout, /^[A-Z].*\.\n\n(?: {2}--[a-z-]+(?: <text>)? +\S.*\n)+$/, script)
    assert.is(stderr, '', script)
    const options = [...stdout.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option)
    const wrong = await run(script, '--no-such-option')
    assert.match(wrong.stderr, `options are ${options.join(', ')}\n`, script)
  }
})

help('has --dry-run where the script changes something', async () => {
  assert.match((await run('packages/vm/scripts/create.ts', '--help')).stdout, '--dry-run')
  assert.match((await run('scripts/status.ts', '--dry-run')).stderr, /^OPTION_UNKNOWN: /)
})

help.run()
