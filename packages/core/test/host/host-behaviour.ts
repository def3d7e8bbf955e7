import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../src/host/host.ts'
import { CommandFailed } from '../../src/process/shell.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

/**
 * What every host does, local or remote; `open` opens one whose files this process can access. The caller
 * runs the suite.
 */
export function hostSuite(title: string, open: () => Promise<Host>) {
  const test = suite<{ host: Host; folder: string }>(title)

  test.before(async (context) => {
    context.host = await open()
    context.folder = temporaryFolder('host')
  })
  test.after(({ host }) => host.close())

  test('returns stdout, stderr and the exit code separately', async ({ host }) => {
    const output = await host.$({ nothrow: true })`echo out; echo err >&2; exit 3`
    assert.equal(output, { stdout: 'out\n', stderr: 'err\n', exitCode: 3 })
  })

  test('throws CommandFailed with the last lines of the output', async ({ host }) => {
    const error = await failure(host.$`sh -c ${'echo first >&2; echo no such thing >&2; exit 4'}`)
    assert.is(error.exitCode, 4)
    assert.is(error.host, host.name)
    assert.is(error.message, 'sh exited with 4: first; no such thing')
  })

  const nasty = {
    'an empty text': '',
    spaces: ' a  b ',
    quotes: `it's "quoted"`,
    'a newline': 'one\ntwo\n',
    variables: '$HOME ${HOME} $(id) `id`',
    backslashes: 'a\\b\\\\c\\n',
    'shell characters': '; rm x & | > < * ? ~ # ! {a,b} [a]',
    options: '-n --help',
    'letters of other alphabets': 'Ünïcödé 日本語 🦊',
    'control characters': 'tab\tbell\x07escape\x1b[0m',
  }
  for (const [what, value] of Object.entries(nasty))
    test(`passes ${what} unchanged`, async ({ host }) => {
      assert.is((await host.$`printf %s ${value}`).stdout, value)
      assert.is((await host.$`printf %s --name=${value}`).stdout, `--name=${value}`)
    })

  test('makes one word of each entry of a list', async ({ host }) => {
    const { stdout } = await host.$`printf '<%s>' ${['a b', 3, "c'd"]} ${[]} end`
    assert.is(stdout, "<a b><3><c'd><end>")
  })

  test('gives the command an empty standard input', async ({ host }) => {
    assert.is((await host.$({ timeoutMs: 5000 })`cat; echo end`).stdout, 'end\n')
  })

  test('passes 10 MB through standard input and back', async ({ host }) => {
    const input = randomBytes(5_000_000).toString('hex')
    const { stdout } = await host.$({ input })`cat`
    assert.is(sha256(stdout), sha256(input))
  })

  test('survives a command that does not read its input', async ({ host }) => {
    const output = await host.$({ input: 'x'.repeat(10_000_000) })`true`
    assert.is(output.exitCode, 0)
  })

  test('calls onLine for each line while the command runs', async ({ host }) => {
    const lines: [string, number][] = []
    const onLine = (line: string): number => lines.push([line, performance.now()])
    await host.$({ onLine })`echo one; sleep 0.3; echo two >&2; printf three`
    assert.equal(lines.map(([line]) => line).sort(), ['one', 'three', 'two'])
    assert.ok((lines[1]?.[1] ?? 0) - (lines[0]?.[1] ?? 0) > 200)
  })

  test('keeps characters intact that arrive in two pieces', async ({ host }) => {
    const lines: string[] = []
    const onLine = (line: string): number => lines.push(line)
    const { stdout } = await host.$({ onLine })`printf '\\303'; sleep 0.2; printf '\\274\\n'`
    assert.is(stdout, 'ü\n')
    assert.equal(lines, ['ü'])
  })

  test('sets environment variables, and always the C locale', async ({ host }) => {
    const env = { FIRST: "it's", SECOND: '$HOME' }
    const { stdout } = await host.$({ env })`printf '%s|' "$FIRST" "$SECOND" "$LC_ALL"`
    assert.is(stdout, "it's|$HOME|C|")
  })

  test('fails when a part of a pipe fails', async ({ host }) => {
    assert.is((await host.$({ nothrow: true })`false | cat`).exitCode, 1)
  })

  test('reports which signal ended a command', async ({ host }) => {
    assert.is((await host.$({ nothrow: true })`kill -KILL $$`).exitCode, 128 + 9)
  })

  test('a timeout ends the command and its children', async ({ host, folder }) => {
    const pids = join(folder, 'timeout')
    const error = await failure(
      host.$({ timeoutMs: 2000 })`echo $$ >${pids}; sleep 60 & echo $! >>${pids}; sleep 60 | cat`,
    )
    assert.is(error.exitCode, 124)
    assert.match(error.message, 'did not end within 2 s')
    await ended(pids, 2)
  })

  test('a timed-out command with nothrow returns exit code 124', async ({ host }) => {
    const output = await host.$({ timeoutMs: 2000, nothrow: true })`echo begun; sleep 60`
    assert.equal(output, { stdout: 'begun\n', stderr: '', exitCode: 124 })
  })

  test('a timeout ends even a command that ignores SIGTERM', async ({ host, folder }) => {
    const pids = join(folder, 'stubborn')
    await host.$({
      timeoutMs: 1500,
      nothrow: true,
    })`trap '' TERM; echo $$ >${pids}; while :; do sleep 1; done`
    await ended(pids, 1)
  })

  test('an abort ends the command and rejects with its reason', async ({ host, folder }) => {
    const pids = join(folder, 'abort')
    const reason = new Error('enough')
    const abort = new AbortController()
    const onLine = (): void => abort.abort(reason)
    const { signal } = abort
    const error = await host.$({
      signal,
      onLine,
      nothrow: true,
    })`echo $$ >${pids}; echo begun; sleep 60`.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.is(error, reason)
    await ended(pids, 1)
  })

  test('an abort before the start starts nothing', async ({ host, folder }) => {
    const file = join(folder, 'never')
    await host.$({ signal: AbortSignal.abort() })`touch ${file}`.catch(() => undefined)
    assert.not.ok(existsSync(file))
  })

  test('does not end a background process when its command succeeds', async ({ host, folder }) => {
    const pids = join(folder, 'background')
    await host.$`sleep 60 >/dev/null 2>&1 & echo $! >${pids}`
    await sleep(300)
    const pid = Number(await readFile(pids, 'utf8'))
    assert.ok(isAlive(pid))
    process.kill(pid)
  })

  test('writes a file with its mode, and reads it', async ({ host, folder }) => {
    const file = join(folder, "a file's name")
    await host.write(file, 'Grüße\n', { mode: 0o600 })
    assert.is(await host.read(file), 'Grüße\n')
    assert.is((await stat(file)).mode & 0o777, 0o600)
    await host.write(file, new Uint8Array([0, 255, 10]))
    assert.equal([...(await readFile(file))], [0, 255, 10])
    assert.is((await stat(file)).mode & 0o777, 0o644)
  })

  test('writes an empty file', async ({ host, folder }) => {
    await host.write(join(folder, 'empty'), '')
    assert.is((await stat(join(folder, 'empty'))).size, 0)
  })

  test('a reader gets the old file or the new one, never a part', async ({ host, folder }) => {
    const file = join(folder, 'atomic')
    const texts = ['a'.repeat(3_000_000), 'b'.repeat(3_000_000)] as const
    await writeFile(file, texts[0])
    let writing = true
    const written = host.write(file, texts[1]).finally(() => (writing = false))
    while (writing) assert.ok((texts as readonly string[]).includes(await readFile(file, 'utf8')))
    await written
    assert.is(await readFile(file, 'utf8'), texts[1])
  })

  test('a failed write names the file and leaves no files behind', async ({ host, folder }) => {
    const error = await failure(host.write(join(folder, 'missing', 'file'), 'x'))
    assert.match(error.message, /^write \S+ exited with 1: dd: .*No such file or directory/)
    const target = join(folder, 'a-folder')
    await host.$`mkdir ${target}`
    await failure(host.write(target, 'x'))
    assert.equal(
      (await readdir(folder)).filter((name) => name.startsWith('.')),
      [],
    )
  })

  test('reading a missing file throws CommandFailed', async ({ host, folder }) => {
    assert.match((await failure(host.read(join(folder, 'nothing')))).message, 'No such file')
  })

  test('uploads a file with holes for zeroes, and reports progress', async ({ host, folder }) => {
    const from = join(folder, 'from')
    const to = join(folder, 'to')
    const bytes = Buffer.concat([randomBytes(300_000), Buffer.alloc(20_000_000), randomBytes(17)])
    await writeFile(from, bytes)
    let last = 0
    await host.upload(from, to, { mode: 0o640, onProgress: (sent) => (last = sent) })
    assert.is(last, bytes.length)
    assert.ok(bytes.equals(await readFile(to)))
    const { blocks, mode } = await stat(to)
    assert.ok(blocks * 512 < 2_000_000, `${blocks} blocks`)
    assert.is(mode & 0o777, 0o640)
  })

  test('an upload that is aborted leaves no files behind', async ({ host, folder }) => {
    const from = join(folder, 'from')
    const to = join(folder, 'aborted')
    const abort = new AbortController()
    const onProgress = (): void => abort.abort()
    const error = await host.upload(from, to, { signal: abort.signal, onProgress }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof Error)
    assert.not.ok((await readdir(folder)).some((name) => name.includes('aborted')))
  })

  test('runs 50 commands in parallel', async ({ host }) => {
    const outputs = await Promise.all(
      Array.from({ length: 50 }, (_, index) => host.$`sleep 0.05; echo ${index}`),
    )
    assert.equal(
      outputs.map(({ stdout }) => Number(stdout)),
      [...outputs.keys()],
    )
  })

  return test
}

/** Waits until the processes whose ids are in a file have ended. */
export async function ended(file: string, count: number): Promise<void> {
  const pids = (await readFile(file, 'utf8')).trim().split('\n').map(Number)
  assert.is(pids.length, count)
  for (let wait = 0; pids.some(isAlive); wait += 1) {
    assert.ok(wait < 200, `of ${pids.join(', ')} some are still running`)
    await sleep(50)
  }
}

function isAlive(pid: number): boolean {
  try {
    // A zombie has ended too.
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

async function failure(promise: Promise<unknown>): Promise<CommandFailed> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof CommandFailed) return error
  throw error
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
