import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readConsole, readLogs } from '../../src/host/console-log.ts'
import { local } from '../../src/host/local.ts'
import { logLines } from '../../src/testing/log-lines.ts'
import { recordingHost } from '../../src/testing/recording-host.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

/** Real commands in a real shell; `tail` and `sudo` are as on a host whose logs only root may read. */
const test = suite<{ folder: string; path: string | undefined }>('console logs')
test.before.each((context) => {
  context.folder = temporaryFolder('console')
  context.path = process.env['PATH']
  mkdirSync(join(context.folder, 'bin'))
  process.env['PATH'] = `${join(context.folder, 'bin')}:${context.path}`
})
test.after.each(({ path }) => {
  process.env['PATH'] = path
})

const program = (folder: string, name: string, text: string): void => {
  writeFileSync(join(folder, 'bin', name), `#!/bin/bash\n${text}\n`)
  chmodSync(join(folder, 'bin', name), 0o755)
}
/** Refuses every file, except to sudo. */
const forRoot = `if [ -n "$AS_ROOT" ]; then exec /usr/bin/tail "$@"; fi
echo "tail: cannot open '\${*: -1}' for reading: Permission denied" >&2; exit 1`

async function read(folder: string, bytes = 100) {
  const path = join(folder, 'vm-console.log')
  return (await readLogs(local, new Map([['vm', path]]), bytes)).get('vm')
}

test('the end of a log is read with its terminal sequences', async ({ folder }) => {
  writeFileSync(join(folder, 'vm-console.log'), 'old\r\n\x1b[2Jone\r\n')
  const log = await read(folder, 9)
  assert.ok(log !== undefined && 'text' in log)
  assert.is(log.text, '\x1b[2Jone\r\n')
  assert.ok(log.quietS !== undefined && log.quietS < 60)
})

test('an empty log is no problem', async ({ folder }) => {
  writeFileSync(join(folder, 'vm-console.log'), '')
  assert.equal({ ...(await read(folder)), quietS: 0 }, { text: '', quietS: 0 })
})

test('what only root may read is read by sudo', async ({ folder }) => {
  writeFileSync(join(folder, 'vm-console.log'), 'one\n')
  program(folder, 'tail', forRoot)
  program(folder, 'sudo', '[ "$1" = -n ] || exit 9; shift; AS_ROOT=1 exec "$@"')
  const log = await read(folder)
  assert.is(log !== undefined && 'text' in log && log.text, 'one\n')
})

for (const [title, sudo, because] of [
  ['with a password', "echo 'sudo: a password is required' >&2; exit 1", 'a password is required'],
  ['that is not installed', "echo 'sudo: command not found' >&2; exit 127", 'command not found'],
] as const)
  test(`without root, and with a sudo ${title}, the reason is told`, async ({ folder }) => {
    writeFileSync(join(folder, 'vm-console.log'), 'one\n')
    program(folder, 'tail', forRoot)
    program(folder, 'sudo', sudo)
    const log = await read(folder)
    assert.ok(log !== undefined && 'reason' in log)
    assert.match(log.reason, join(folder, 'vm-console.log'))
    assert.match(log.reason, because)
    assert.match(log.reason, /only root reads the logs of libvirt.*LIBVIRT_URI/)
  })

test('a log that does not exist is no question of permissions', async ({ folder }) => {
  program(folder, 'sudo', "echo 'sudo: a password is required' >&2; exit 1")
  for (const root of [false, true]) {
    // In a folder that only root may enter, root reports it.
    if (root) program(folder, 'sudo', 'shift; exec "$@"')
    const log = await read(folder)
    assert.ok(log !== undefined && 'reason' in log)
    assert.match(log.reason, /^there is no .*vm-console\.log on .*has not run there$/)
  }
  rmSync(folder, { recursive: true })
})

test('a console has lines without terminal sequences, and for how long it is quiet', async () => {
  const host = recordingHost({ '/console.log/': logLines('vm', 'a\r\n\x1b[2Jb\r\n', 42) })
  assert.equal(await readConsole(host, 'vm'), { lines: ['a', 'b'], quietS: 42 })
  const silent = await readConsole(recordingHost({ '/console.log/': '' }), 'vm')
  assert.ok('reason' in silent)
})

test.run()
