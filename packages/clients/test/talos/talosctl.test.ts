import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openTalosctl, type Talosctl } from '../../src/talos/talosctl.ts'

/** What a talosctl was started with that prints it, on a machine whose user has talosconfigs of their own. */
const test = suite('talosctl')
const root = temporaryFolder('talosctl')
const cluster = testCluster({ CONTROL_PLANE_COUNT: '3' }, root)
const ours = join(cluster.generated, 'talosconfig')
const path = join(root, 'talosctl')
const { TALOSCONFIG, HOME } = process.env

test.before(() => {
  writeFileSync(path, '#!/bin/sh\necho "TALOSCONFIG=$TALOSCONFIG"\nprintf "%s\\n" "$@"\n')
  chmodSync(path, 0o755)
  mkdirSync(join(root, '.talos'))
  writeFileSync(join(root, '.talos/config'), 'context: work\n')
  process.env['TALOSCONFIG'] = join(root, 'own-talosconfig')
  process.env['HOME'] = root
})
test.after(() => {
  for (const [name, value] of Object.entries({ TALOSCONFIG, HOME }))
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
})

const open = (file?: string): Promise<Talosctl> =>
  openTalosctl(cluster, file, { path, version: 'v1.13.9' })

for (const [title, call] of [
  ['local work', (one: Talosctl) => one.offline('gen', 'config')],
  ['a question to machines', (one: Talosctl) => one.ask(['10.0.0.70'], ['version'])],
  ['a question to a new machine', (one: Talosctl) => one.askInsecurely('10.0.0.70', ['version'])],
] as const)
  test(`${title} never picks up the talosconfig of the user`, async () => {
    const { stdout } = await call(await open())
    assert.match(stdout, `TALOSCONFIG=${ours}\n`)
    assert.not.match(stdout, 'own-talosconfig')
  })

test('a question to machines names the talosconfig, the endpoints and the machines', async () => {
  const { stdout } = await (await open()).ask(['10.0.0.70', '10.0.0.71'], ['version'])
  assert.equal(stdout.trimEnd().split('\n').slice(1), [
    ...['--talosconfig', ours],
    ...['--endpoints', '10.0.0.70,10.0.0.71,10.0.0.72'],
    ...['--nodes', '10.0.0.70,10.0.0.71'],
    'version',
  ])
})

test('another talosconfig of the cluster takes the place of its own, everywhere', async () => {
  const talosctl = await open('removed/talosconfig')
  const other = join(cluster.generated, 'removed/talosconfig')
  const { stdout } = await talosctl.ask(['10.0.0.70'], ['version'])
  assert.match(stdout, `TALOSCONFIG=${other}\n--talosconfig\n${other}\n`)
  assert.match((await talosctl.offline('config', 'info')).stdout, `TALOSCONFIG=${other}\n`)
})

test.run()
