/** Backups beside what a clock that was fast once, and a crafted description, leave in their folder. */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { labCluster, nx, run, scriptOf } from './support.ts'

const cluster = await labCluster()
const folder = join(cluster.generated, 'backups')
const inFolder = (name: string): string => join(folder, name)
const backup = scriptOf('packages/bootstrap/scripts/backup.ts', '--cluster', 'lab')

/** Takes a backup and returns the file's name, as it was printed. */
async function take(): Promise<string> {
  const { code, output } = await run(backup)
  assert.is(code, 0)
  return /\/backups\/(etcd-\S+\.db)$/m.exec(output)?.[1] ?? ''
}

let first = ''
test('a backup is taken of a running cluster', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  first = await take()
  assert.ok(existsSync(inFolder(first)))
})

test('with ten backups of the future, the next one is kept, and is the one to restore', async () => {
  const description = JSON.parse(
    readFileSync(inFolder(first.replace('.db', '.json')), 'utf8'),
  ) as object
  const future = Array.from({ length: 10 }, (_, day) => `etcd-2099-01-${day + 10}T00-00-00.000Z`)
  for (const name of future) {
    copyFileSync(inFolder(first), inFolder(`${name}.db`))
    const takenAt = name.replace('etcd-', '').replace(/T(\d\d)-(\d\d)-/, 'T$1:$2:')
    const text = JSON.stringify({ ...description, file: `${name}.db`, takenAt })
    writeFileSync(inFolder(`${name}.json`), text)
  }
  // Older than all others: a clean-up that believed them would remove these files.
  const old = { ...description, takenAt: '2001-01-01T00:00:00.000Z', revision: 1 }
  for (const [name, file] of [
    ['crafted.json', '../secrets.yaml'],
    ['etcd-2001-01-01T00-00-00.000Z.json', '../secrets.yaml'],
    ['etcd-2001-01-01T00-00-00.001Z.json', '../../lab/kubeconfig'],
  ] as const)
    writeFileSync(inFolder(name), JSON.stringify({ ...old, file }))
  try {
    const taken = await take()
    const names = readdirSync(folder)
    assert.ok(names.includes(taken), `${taken} was reported as taken and is not there`)
    assert.ok(names.includes(taken.replace('.db', '.json')))
    for (const name of ['secrets.yaml', 'kubeconfig', 'talosconfig'])
      assert.ok(existsSync(join(cluster.generated, name)), `${name} was removed`)
    // The newest ten by etcd's revision, this one among them.
    const left = future.filter((name) => names.includes(`${name}.db`))
    assert.ok(left.length < future.length, 'none was removed')
    const restore = scriptOf('scripts/restore.ts', '--cluster', 'lab', '--dry-run')
    const { code, output } = await run(restore)
    assert.is(code, 2)
    assert.match(output, `Restore etcd from ${taken}`)
  } finally {
    for (const name of readdirSync(folder))
      if (/^(?:etcd-2099|etcd-2001|crafted)/.test(name)) rmSync(inFolder(name))
  }
})

test.run()
