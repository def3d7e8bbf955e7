/**
 * No secret that any cluster of the earlier chapters had is anywhere but where it belongs. They recorded what they
 * show: this chapter alone has little to look at.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { leaksIn, places, unpackBundles } from './leaks.ts'
import { plant, plantedPatch } from './planted.ts'
import { records } from './record.ts'
import { nx, run, scriptOf } from './support.ts'

const plan = scriptOf('scripts/plan.ts', '--cluster', 'lab')

test('the search finds what is planted, where it is planted', async () => {
  assert.is((await nx('lab:start')).code, 0)
  assert.equal(await leaksIn({ paths: [dirname(plantedPatch)] }), [
    `${plantedPatch} has what the chapters planted`,
  ])
})

for (const [name, address] of [
  ['TALOS_FACTORY_URL', (word: string) => `http://me:${word}@10.213.77.2:8480`],
  ['NFS_CSI_CHART', (word: string) => `http://me:${word}@10.213.77.2:8480/charts`],
  ['LIBVIRT_URI', (word: string) => `qemu+ssh://root:${word}@10.213.77.2/system`],
] as const)
  test(`a password in ${name} is refused, and not printed`, async () => {
    const { word } = plant()
    const { code, output } = await run(plan, { [name]: address(word) })
    assert.is(code, 78)
    assert.match(output, name)
    assert.not.match(output, word)
  })

test('no secret is in a bundle, also of a cluster that is gone', async () => {
  assert.is((await run(scriptOf('scripts/bundle.ts', '--cluster', 'lab'))).code, 0)
  assert.equal(await leaksIn({ paths: [await unpackBundles()] }), [])
})

test('every run was recorded, with the programs that it started', () => {
  assert.ok(existsSync(records.output))
  const sampled = readFileSync(records.arguments, 'utf8')
  assert.match(sampled, 'scripts/bundle.ts')
})

for (const [name, place] of Object.entries(places))
  test(`no secret is in ${name}`, async () => {
    assert.equal(await leaksIn(place), [])
  })

test.run()
