import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findBackup, prepareRestore } from '@talosmith/bootstrap'
import { openTalosctl } from '@talosmith/clients/talos'
import { hasTalosctl } from '@talosmith/clients/testing'
import { silentLog, type Change } from '@talosmith/core'
import { createSecrets } from '@talosmith/bootstrap/testing'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import restore from '../restore.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'
import { scriptContext } from './support/script-context.ts'

const suiteOf = suite<{ made: Made; path: string | undefined }>('a restore')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip
const file = 'etcd-2026-11-24T01-00-00.000Z.db'
let secrets = ''
suiteOf.before(async () => {
  const cluster = testCluster({}, temporaryFolder('restore'))
  if (test === suiteOf.skip) return
  await createSecrets(cluster, await openTalosctl(cluster))
  secrets = readFileSync(join(cluster.generated, 'secrets.yaml'), 'utf8')
})
suiteOf.before.each(async (context) => {
  // No machine answers there.
  const settings = { NETWORK_BRIDGE: '', NETWORK_NAME: 'default', NETWORK_CIDR: '127.13.22.0/24' }
  context.made = await makeCluster(settings)
  const { cluster, generated, path } = context.made
  for (const tool of ['qemu-img', 'xorriso'])
    writeFileSync(path(`bin/${tool}`), '#!/bin/sh\n', { mode: 0o755 })
  context.path = process.env['PATH']
  process.env['PATH'] = `${path('bin')}:${context.path}`
  rmSync(join(generated, 'talosconfig'))
  rmSync(join(generated, 'secrets.owner.json'))
  writeFileSync(join(generated, 'secrets.yaml'), secrets)
  const pages = Buffer.alloc(1024, 7)
  const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes)
  const stored = Buffer.concat([pages, sha256(pages).digest()])
  const backup = {
    ...{ file, cluster: cluster.name, takenAt: '2026-11-24T01:00:00.000Z', revision: 77 },
    ...{ secrets: sha256(secrets).digest('hex'), sha256: sha256(stored).digest('hex') },
  }
  mkdirSync(join(generated, 'backups'))
  writeFileSync(join(generated, 'backups', file), stored)
  writeFileSync(join(generated, 'backups', file.replace('.db', '.json')), JSON.stringify(backup))
})
suiteOf.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

/** Runs the script until a Problem ends it; returns what it logs and its plan. */
async function run({ cluster }: Made, confirm?: string, dryRun = false): Promise<string> {
  const output: string[] = []
  const log = { ...silentLog, info: (text: string) => void output.push(text) }
  const options = { snapshot: undefined }
  await restore.run(scriptContext(cluster, output, { confirm, dryRun, options, log }))
  return output.join('\n')
}

test('lists what it removes and restores, and changes nothing without CONFIRM', async ({
  made,
}) => {
  const before = made.everything()
  const { code, because = '' } = await problemOf(run(made))
  assert.is(code, 'CONFIRM_MISSING')
  assert.match(because, `Reset virtual machine ${made.cluster.name}-cp1`)
  assert.match(because, `Restore etcd from ${file}`)
  assert.match(await run(made, undefined, true), `Restore etcd from ${file}`)
  assert.equal(made.everything(), before)
})

test('a restore that continues reports it, and saves what was written since', async ({ made }) => {
  const { cluster, generated } = made
  const newer = async (): Promise<readonly Change[]> => {
    const backup = await findBackup({ cluster, options: { snapshot: undefined } })
    return prepareRestore(cluster, backup, async () => ({ revision: 80, identity: undefined }))
  }
  assert.not.match(await run(made, undefined, true), 'continuing')
  assert.is((await newer()).length, 1)
  writeFileSync(join(generated, 'restoring.json'), JSON.stringify({ backup: file }))
  assert.match(await run(made, undefined, true), `continuing an interrupted restore of ${file}`)
  assert.is((await newer()).length, 1)
})

const problems: [string, string, (made: Made) => void][] = [
  [
    'there is no image',
    'IMAGE_MISSING',
    ({ cluster, pool }) => rmSync(join(pool, cluster.image.fileName)),
  ],
  [
    'Talos would refuse a machine config',
    'CONFIG_INVALID',
    ({ cluster }) => {
      mkdirSync(cluster.patchesDir, { recursive: true })
      writeFileSync(join(cluster.patchesDir, 'all.yaml'), 'machine:\n  nonsense: {a: b}\n')
    },
  ],
  [
    'the backup is damaged',
    'BACKUP_UNUSABLE',
    ({ generated }) => writeFileSync(join(generated, 'backups', file), 'cut'),
  ],
  [
    'a regeneration was stopped',
    'REGENERATION_UNFINISHED',
    ({ generated }) =>
      writeFileSync(join(generated, 'regenerating.json'), '{"archive":"archive/a"}'),
  ],
]
for (const [title, code, breakIt] of problems)
  test(`removes nothing when ${title}`, async ({ made }) => {
    breakIt(made)
    const before = made.everything()
    assert.is((await problemOf(run(made, made.cluster.name))).code, code)
    assert.equal(made.everything(), before)
  })

suiteOf.run()
