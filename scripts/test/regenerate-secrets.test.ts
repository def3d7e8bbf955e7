import { createHash } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import regenerate from '../regenerate-secrets.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'
import { scriptContext } from './support/script-context.ts'

const test = suite<{ made: Made; path: string | undefined }>('new secrets')
test.before.each(async (context) => {
  context.made = await makeCluster({ NETWORK_BRIDGE: '', NETWORK_NAME: 'default' })
  for (const tool of ['qemu-img', 'xorriso'])
    writeFileSync(context.made.path(`bin/${tool}`), '#!/bin/sh\n', { mode: 0o755 })
  context.path = process.env['PATH']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
})
test.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

interface Options {
  readonly confirm?: string
  readonly dryRun?: boolean
  readonly finalSnapshot?: boolean
}

/** Runs the script until a Problem ends it; returns its warnings, plans and answers. */
async function run(
  { cluster }: Made,
  { confirm, dryRun = false, finalSnapshot = false }: Options,
): Promise<string> {
  const output: string[] = []
  const note = (text: string) => void output.push(text)
  const log = { ...silentLog, warn: note, info: note }
  const options = { 'final-snapshot': finalSnapshot }
  await regenerate.run(scriptContext(cluster, output, { confirm, dryRun, options, log }))
  return output.join('\n')
}
/** A regeneration that was interrupted; with new machines, `secrets` are those that it created. */
const begun = (made: Made, machinesAreNew: boolean, secrets = ''): void =>
  writeFileSync(
    join(made.generated, 'regenerating.json'),
    JSON.stringify({ archive: 'archive/then', machinesAreNew, secrets: sha256(secrets) }),
  )
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

test('without CONFIRM, lists what is lost, files and machines, and changes nothing', async ({
  made,
}) => {
  const before = made.everything()
  const { code, because = '' } = await problemOf(run(made, {}))
  assert.is(code, 'CONFIRM_MISSING')
  for (const lost of [
    ...[
      'certificate authority',
      'every existing kubeconfig and talosconfig',
      'service account tokens',
    ],
    ...['Archive secrets.yaml', 'Reset virtual machine talosmith-test-a-w1'],
  ])
    assert.match(because, lost)
  assert.equal(made.everything(), before)
})

test('FINAL_SNAPSHOT is part of the plan', async ({ made }) => {
  const before = made.everything()
  assert.match(
    await run(made, { dryRun: true, finalSnapshot: true }),
    '+ Back up etcd and the machine secrets',
  )
  assert.not.match(await run(made, { dryRun: true }), 'Back up')
  assert.equal(made.everything(), before)
})

test('a failed FINAL_SNAPSHOT stops before any change', async ({ made }) => {
  rmSync(join(made.generated, 'talosconfig'))
  const before = made.everything()
  const options = { confirm: made.cluster.name, finalSnapshot: true }
  assert.is((await problemOf(run(made, options))).code, 'BACKUP_FAILED')
  assert.equal(made.everything(), before)
})

test('FINAL_SNAPSHOT is too late for a resumed run, which warns about it', async ({ made }) => {
  begun(made, false)
  const output = await run(made, { dryRun: true, finalSnapshot: true })
  assert.match(output, 'no backup is taken')
  assert.not.match(output, 'Back up etcd and the machine secrets')
})

test('a resumed run with new machines has changes, and needs CONFIRM', async ({ made }) => {
  begun(made, true, readFileSync(join(made.generated, 'secrets.yaml'), 'utf8'))
  const output = await run(made, { dryRun: true })
  assert.match(output, 'continuing an interrupted regeneration')
  assert.match(output, 'the old ones are in archive/then')
  assert.not.match(output, 'Reset virtual machine')
  assert.is((await problemOf(run(made, {}))).code, 'CONFIRM_MISSING')
})

test('lost secrets can be recovered instead: a warning comes before anything is lost', async ({
  made,
}) => {
  assert.not.match(await run(made, { dryRun: true }), 'recover-secrets')
  rmSync(join(made.generated, 'secrets.yaml'))
  assert.match(await run(made, { dryRun: true }), 'bootstrap:recover-secrets')
})

test('a stale record of a regeneration makes no renewal a no-op', async ({ made }) => {
  begun(made, true, 'secrets of another time')
  const output = await run(made, { dryRun: true })
  assert.match(output, 'regenerating.json is ignored')
  assert.not.match(output, 'continuing')
  for (const change of ['Archive secrets.yaml', 'Reset virtual machine talosmith-test-a-cp1'])
    assert.match(output, change)
  assert.not.match(output, 'archive/then/')
})

test.run()
