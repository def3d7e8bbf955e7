import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { local } from '@talosmith/core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startRig, type Rig } from './support.ts'

const kill = suite<{ rig: Rig }>('a transfer that is killed')
kill.before.each(async (context) => void Object.assign(context, { rig: await startRig() }))
kill.after.each(({ rig }) => rig.close())

interface Finished {
  readonly code: number | null
  readonly output: string
}

/** Runs the transfer as a process, and kills it when `killWhen` is true. */
function program(rig: Rig, killWhen?: () => boolean, prefix: string[] = []): Promise<Finished> {
  const [command = '', ...words] = [
    ...prefix,
    process.execPath,
    '--import',
    'tsx',
    join(import.meta.dirname, 'transfer-program.ts'),
    rig.root,
    rig.cluster.settings.TALOS_FACTORY_URL,
    rig.path,
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

const points: Readonly<Record<string, (rig: Rig) => boolean>> = {
  'before the first byte': ({ requests }) => requests.length > 0,
  'during the download': ({ folder }) => size(join(folder, 'compressed')) > 500_000,
  'when the download is complete': ({ folder, body }) =>
    size(join(folder, 'compressed')) === body.length,
  'when the image appears': ({ path }) => existsSync(path),
}
for (const [when, isReached] of Object.entries(points))
  kill(`${when} leaves no wrong image, and the next run succeeds`, async ({ rig }) => {
    rig.rate = 2_000_000
    await program(rig, () => isReached(rig))
    if (existsSync(rig.path)) assert.ok(readFileSync(rig.path).equals(rig.raw))
    const { code, output } = await program(rig)
    assert.is(code, 0, output)
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    assert.equal(
      readdirSync(dirname(rig.path)).sort(),
      readdirSync(dirname(rig.path))
        .filter((name) => !name.endsWith('.partial'))
        .sort(),
    )
  })

kill('also ends on the host', async ({ rig }) => {
  rig.rate = 100_000
  await program(rig, () => size(join(rig.folder, 'compressed')) > 0)
  const started = Date.now()
  // Every process of the transfer holds the lock.
  await local.$`flock -w 20 ${join(rig.folder, 'lock')} true`
  assert.ok(Date.now() - started < 15_000)
})

if (process.getuid?.() === 0)
  kill(
    'by a full disk fails with POOL_FULL, keeps the download, and is resumed when there is space',
    async ({ rig }) => {
      const pool = dirname(rig.path)
      const small = `mount -t tmpfs -o size=900k tmpfs ${pool} && exec "$@"`
      const { code, output } = await program(rig, undefined, [
        'unshare',
        '-m',
        'bash',
        '-c',
        small,
        'x',
      ])
      assert.is(code, 1)
      assert.ok(output.includes("code: 'POOL_FULL'"), output)
      assert.not(existsSync(rig.path))
      mkdirSync(pool, { recursive: true })
      await rig.transfer()
      assert.ok(readFileSync(rig.path).equals(rig.raw))
    },
  )

kill.run()
