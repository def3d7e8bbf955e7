import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { valueNames } from '../src/value-names.ts'
import { chartValues, chosenValues } from '../src/values.ts'
import { renderAffinity } from './support/controller-template.ts'

const nfs = { NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' }

/** Spells out `a.{b, c.d 1}` and `{a,b}.c` as dotted names; defaults behind a name are dropped. */
function spellOut(item: string): string[] {
  const [, before = '', choice, after = ''] = /^(.*?)\{(.*)\}(.*)$/.exec(item) ?? []
  if (choice === undefined) return [item.replace(/\[\]$/, '').split(' ')[0] ?? '']
  return choice
    .split(',')
    .map((part) => part.trim().replace(/[ (].*$/, ''))
    .filter((part) => part !== '...')
    .map((part) => `${before}${part}${after}`)
}

test('the list of value names is exactly what the public chart documents', () => {
  const text = readFileSync(join(import.meta.dirname, 'fixtures', 'value-names.md'), 'utf8')
  const list = text.slice(text.indexOf('\n\n'))
  const documented = [...list.matchAll(/`([^`]+)`/g)].flatMap(([, item = '']) => spellOut(item))
  assert.equal([...valueNames].sort(), [...new Set(documented)].sort())
})

test('every value that we set is one that the public chart knows', () => {
  const known: readonly string[] = valueNames
  for (const name of Object.keys(chosenValues(testCluster(nfs))))
    assert.ok(known.includes(name), name)
})

test('values are nested by their dots', () => {
  const values = chartValues(testCluster(nfs)) as Record<string, Record<string, unknown>>
  assert.is(values['kubeletDir'], '/var/lib/kubelet')
  assert.is(values['feature']?.['propagateHostMountOptions'], false)
  assert.is(values['controller']?.['enableSnapshotter'], false)
})

for (const [workers, controlPlanes, replicas] of [
  ['0', '1', 1],
  ['0', '3', 2],
  ['1', '3', 1],
  ['2', '1', 2],
  ['9', '1', 2],
] as const)
  test(`${replicas} controller(s) with ${workers} workers and ${controlPlanes} control planes`, () => {
    const counts = { WORKER_COUNT: workers, CONTROL_PLANE_COUNT: controlPlanes }
    const chosen = chosenValues(testCluster({ ...nfs, ...counts }))
    assert.is(chosen['controller.replicas'], replicas)
  })

test('the rendered controllers keep apart: they use the network of their nodes', () => {
  const affinity = renderAffinity(chartValues(testCluster(nfs)))
  assert.match(JSON.stringify(affinity), '"podAntiAffinity"')
  assert.match(JSON.stringify(affinity), '"app":"csi-nfs-controller"')
})

test('there is one controller with a chart that cannot keep two apart', () => {
  const older = testCluster({ ...nfs, WORKER_COUNT: '2', NFS_CSI_VERSION: '4.9.0' })
  assert.is(chosenValues(older)['controller.replicas'], 1)
})

test.run()
