// limit: 120 s
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { local } from '../../src/host/local.ts'
import { onStorage } from '../../src/host/storage.ts'
import { projectRoot } from '../../src/root.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const storage = suite('a command that looks at files')
const folder = temporaryFolder('storage')
const places = [{ what: 'the pool tank', folder }]
const soon = { probeAfterMs: 100, answerS: 1 }

storage('that is slow on storage that answers is waited for', async () => {
  const { stdout } = await onStorage(
    local,
    places,
    (options) => local.$(options)`sleep 2; echo done`,
    soon,
  )
  assert.is(stdout, 'done\n')
})

storage('that does not end is given up, and named', async () => {
  const problem = await problemOf(
    onStorage(local, places, (options) => local.$(options)`sleep 60`, { ...soon, withinMs: 500 }),
  )
  assert.is(problem.code, 'STORAGE_SILENT')
  assert.match(problem.message, `the pool tank at ${folder} on this machine`)
  assert.match(problem.because ?? '', 'did not end within 0.5 s')
})

storage('that fails is not a problem of the storage', async () => {
  const failed = await onStorage(local, places, (options) => local.$(options)`exit 3`).catch(
    (error: Error) => error.name,
  )
  assert.is(failed, 'CommandFailed')
})

/** A FUSE file system whose server never answers hangs as an NFS mount does; only the test sees it. */
const dead = `dir=$1; shift; exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 nas:/export "$dir" || exit 77
exec "$@"`
const canMount = process.getuid?.() === 0 && existsSync('/dev/fuse')

;(canMount ? storage : storage.skip)('on a mount whose server is down ends soon', async () => {
  const point = temporaryFolder("dead 'mount")
  const program = join(import.meta.dirname, 'storage-program.ts')
  const node = [process.execPath, '--import', 'tsx', program, point]
  const { stdout } = await promisify(execFile)(
    'unshare',
    ['-m', '--propagation', 'private', 'bash', '-c', dead, 'dead', point, ...node],
    { cwd: projectRoot },
  )
  const problem = JSON.parse(stdout) as Record<string, string>
  assert.is(problem['code'], 'STORAGE_SILENT')
  assert.is(
    problem['message'],
    `the folder of seed ISOs at ${point} on this machine does not answer`,
  )
  assert.match(problem['because'] ?? '', `it is on nas:/export (fuse), mounted at ${point}`)
  assert.match(problem['hint'] ?? '', /umount -f -l '.*' && mount '/)
})

storage.run()
