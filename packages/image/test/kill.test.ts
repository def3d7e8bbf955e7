import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { local } from '@talosmith/core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startLab, type Lab } from './support.ts'

const kill = suite<{ lab: Lab }>('a transfer that is killed')
kill.before.each(async (context) => void Object.assign(context, { lab: await startLab() }))
kill.after.each(({ lab }) => lab.close())

interface Finished {
  readonly code: number | null
  readonly output: string
}

/** Runs the transfer as a program; kills it, and only it, at the first output or state that fits. */
function program(lab: Lab, killWhen?: () => boolean, prefix: string[] = []): Promise<Finished> {
  const [command = '', ...words] = [
    ...prefix,
    process.execPath,
    '--import',
    'tsx',
    join(import.meta.dirname, 'transfer-program.ts'),
    lab.root,
    lab.cluster.settings.TALOS_FACTORY_URL,
    lab.path,
  ]
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const timer = setInterval(() => {
    if (killWhen?.() === true) child.kill('SIGKILL')
  }, 5)
  return new Promise((resolve) =>
    child.on('close', (code) => {
      clearInterval(timer)
      resolve({ code, output })
    }),
  )
}

const size = (path: string): number => (existsSync(path) ? statSync(path).size : 0)

const points: Readonly<Record<string, (lab: Lab) => boolean>> = {
  'before the first byte': ({ requests }) => requests.length > 0,
  'in the middle of the bytes': ({ folder }) => size(join(folder, 'compressed')) > 500_000,
  'when all has arrived': ({ folder, body }) => size(join(folder, 'compressed')) === body.length,
  'when the image appears': ({ path }) => existsSync(path),
}
for (const [when, isThere] of Object.entries(points))
  kill(`${when} leaves nothing wrong, and the next run ends right`, async ({ lab }) => {
    lab.rate = 2_000_000
    await program(lab, () => isThere(lab))
    if (existsSync(lab.path)) assert.ok(readFileSync(lab.path).equals(lab.raw))
    const { code, output } = await program(lab)
    assert.is(code, 0, output)
    assert.ok(readFileSync(lab.path).equals(lab.raw))
    assert.equal(
      readdirSync(dirname(lab.path)).sort(),
      readdirSync(dirname(lab.path))
        .filter((name) => !name.endsWith('.partial'))
        .sort(),
    )
  })

kill('ends on the host too', async ({ lab }) => {
  lab.rate = 100_000
  await program(lab, () => size(join(lab.folder, 'compressed')) > 0)
  const started = Date.now()
  // The lock is held as long as anything of the transfer lives.
  await local.$`flock -w 20 ${join(lab.folder, 'lock')} true`
  assert.ok(Date.now() - started < 15_000)
})

if (process.getuid?.() === 0)
  kill(
    'by a full disk says so, keeps what it has, and carries on when there is room',
    async ({ lab }) => {
      const pool = dirname(lab.path)
      const small = `mount -t tmpfs -o size=900k tmpfs ${pool} && exec "$@"`
      const { code, output } = await program(lab, undefined, [
        'unshare',
        '-m',
        'bash',
        '-c',
        small,
        'x',
      ])
      assert.is(code, 1)
      assert.ok(output.includes("code: 'POOL_FULL'"), output)
      assert.not(existsSync(lab.path))
      mkdirSync(pool, { recursive: true })
      await lab.transfer()
      assert.ok(readFileSync(lab.path).equals(lab.raw))
    },
  )

kill.run()
