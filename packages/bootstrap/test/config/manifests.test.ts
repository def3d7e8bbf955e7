import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { manifestProblems, readManifests } from '../../src/config/manifests.ts'
import { readPatches } from '../../src/config/patches.ts'

const map = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`
const list = (...items: string[]): string =>
  `apiVersion: v1\nkind: List\nitems: [${items.join()}]\n`

const rows: [string, string, string[]][] = [
  ['one object', map('a'), []],
  ['several documents, as Helm writes them', `---\n# Source: x\n${map('a')}---\n${map('b')}`, []],
  ['comments behind separators, and empty documents', `--- # a\n${map('a')}---\n---\n# end\n`, []],
  ['Windows line ends', `---\n${map('a')}---\n${map('b')}`.replaceAll('\n', '\r\n'), []],
  ['JSON', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}', []],
  ['a list', list('{apiVersion: v1, kind: Namespace, metadata: {name: a}}'), []],
  [
    'a list with a broken item',
    list('{kind: Namespace, metadata: {}}', '3'),
    [
      'item 1 of document 1 lacks apiVersion, metadata.name',
      'item 2 of document 1 is not a Kubernetes object',
    ],
  ],
  [
    'values of a chart',
    'ipam: {mode: kubernetes}\n',
    ['document 1 lacks apiVersion, kind, metadata.name'],
  ],
  [
    'a kustomization',
    'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [x]\n',
    ['document 1 lacks metadata.name'],
  ],
  [
    'the second of two',
    `${map('a')}---\nkind: Secret\n`,
    ['document 2 lacks apiVersion, metadata.name'],
  ],
  ['plain text', 'hello\n', ['document 1 is not a Kubernetes object']],
  [
    'a template',
    `metadata:\n  labels:\n{{- include "x" . | nindent 4 }}\n`,
    [
      'document 1 is not YAML (line 3); a template must be rendered first, for example by helm template',
    ],
  ],
  [
    'a key twice, beside braces that are no template',
    `${map('a')}data:\n  a: "{{ x }}"\n  b: 1\n  b: 2\n`,
    ['document 1 has the same key twice (line 7)'],
  ],
  ['no YAML', `${map('a')}---\na: [\n`, ['document 2 is not YAML (line 6)']],
  ...['--- {kind: x}\n', `%YAML 1.1\n---\n${map('a')}`, `${map('a')}...\n${map('b')}`].map(
    (text): [string, string, string[]] => [
      `documents that Talos would not separate: ${text.slice(0, 5)}`,
      text,
      ['documents must be separated by lines that are only ---, without directives'],
    ],
  ),
]
for (const [title, text, problems] of rows)
  test(`${problems.length === 0 ? 'accepted' : 'refused'}: ${title}`, () => {
    assert.equal(manifestProblems(text), problems)
  })

/** A cluster with a folder of manifests. */
function withManifests(files: Record<string, string>): { cluster: Cluster; folder: string } {
  const cluster = testCluster({}, temporaryFolder('manifests'))
  mkdirSync(cluster.manifestsDir, { recursive: true })
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(cluster.manifestsDir, name), text)
  return { cluster, folder: cluster.manifestsDir }
}

test('control planes get all files, by name, each as it is; workers none', async () => {
  const text = `---\n${map('a')}data:\n  mode: 0644\n  tail: "x "\n`
  const { cluster } = withManifests({
    'b.yaml': text,
    'a.json': '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}',
    'empty.yml': '---\n# nothing\n',
    '.set-aside.yaml': 'a: [',
  })
  const { byNode, used, manifests } = await readPatches(cluster)
  const [patch, ...others] = byNode.get('home-cp1') ?? []
  assert.equal(others, [])
  const { inlineManifests } = (
    parse(patch?.text ?? '') as {
      cluster: { inlineManifests: { name: string; contents: string }[] }
    }
  ).cluster
  assert.equal(
    inlineManifests.map(({ name }) => name),
    ['a.json', 'b.yaml'],
  )
  assert.is(inlineManifests[1]?.contents, text)
  assert.equal(byNode.get('home-w1'), [])
  assert.equal(used, [])
  assert.equal(Object.keys(manifests), ['a.json', 'b.yaml'])
})

test('without files, or without the folder, there is no patch', async () => {
  const { cluster, folder } = withManifests({ 'empty.yaml': '# later\n' })
  assert.equal(await readManifests(cluster), { digests: {}, patch: undefined })
  rmSync(folder, { recursive: true })
  assert.equal(await readManifests(cluster), { digests: {}, patch: undefined })
  const { code, hint } = await problemOf(readManifests(cluster, { 'cilium.yaml': 'x' }))
  assert.is(code, 'MANIFESTS_LOST')
  assert.match(hint ?? '', /mkdir -p env\/home\/manifests; .* deletes their objects/)
})

test('an empty file is refused: what should have written it has failed', async () => {
  const { cluster } = withManifests({ 'cilium.yaml': '' })
  const { code, because } = await problemOf(readManifests(cluster))
  assert.is(code, 'MANIFEST_INVALID')
  assert.match(because ?? '', 'cilium.yaml: it is empty')
})

test('everything wrong is named at once, without values', async () => {
  const { cluster, folder } = withManifests({
    'a b.yaml': `${map('a')}---\nstringData: {token: Zq1nightfall}\n`,
    'c.yaml': 'password: Zq1nightfall: x\n',
    'cilium.txt': map('a'),
    'd.yaml': map('d'),
  })
  mkdirSync(join(folder, 'more'))
  const { code, message, because = '', hint = '' } = await problemOf(readManifests(cluster))
  assert.is(code, 'MANIFEST_INVALID')
  assert.match(message, 'env/home/manifests')
  assert.match(because, 'a b.yaml: document 2 lacks apiVersion, kind, metadata.name')
  assert.match(because, 'c.yaml: document 1 is not YAML (line 1)')
  assert.match(because, 'cilium.txt: its name does not end with .yaml, .yml or .json')
  assert.match(because, 'more: it is a folder, and subfolders are not read')
  assert.not.match(because, /d\.yaml|nightfall/)
  assert.match(hint, "mv 'env/home/manifests/a b.yaml' 'env/home/manifests/.a b.yaml'")
  assert.match(hint, 'the next Kubernetes upgrade then deletes its objects')
})

test('more than a machine config has room for is refused', async () => {
  const data = (name: string): string => `${map(name)}data: {a: ${'x'.repeat(2.5 * 2 ** 20)}}\n`
  const { cluster } = withManifests({ 'a.yaml': data('a'), 'b.yaml': data('b') })
  const { code, because } = await problemOf(readManifests(cluster))
  assert.is(code, 'MANIFEST_INVALID')
  assert.match(because ?? '', /the files have 52\d+ bytes together/)
})

test.run()
