import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const sources = ['packages', 'scripts'].flatMap((folder) =>
  readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter(
      (name) =>
        name.endsWith('.ts') &&
        !name.includes('node_modules') &&
        !/(^|\/)test\/|^diagnose\/rules\//.test(name),
    )
    .map((name) => readFileSync(join(projectRoot, folder, name), 'utf8')),
)
const used = new Set(
  sources.flatMap((text) =>
    [...text.matchAll(/(?:new Problem\(\s*|\bcode(?::|\s*=)\s*)'([A-Z][A-Z0-9_]+)'/g)].map(
      ([, code = '']) => code,
    ),
  ),
)
const folder = join(projectRoot, 'docs', 'troubleshooting')
const headingsOf = (name: string): string[] =>
  [...readFileSync(join(folder, name), 'utf8').matchAll(/^## ([A-Z][A-Z0-9_]+)$/gm)].map(
    ([, code = '']) => code,
  )
const pages = readdirSync(folder)
/** Diagnoses are no Problems; their own test compares them. */
const documented = pages.filter((name) => name !== 'diagnosis.md').flatMap(headingsOf)

test('every code of a Problem has its heading in docs/troubleshooting', () => {
  assert.equal([...used].filter((code) => !documented.includes(code)).sort(), [])
})

test('every heading in docs/troubleshooting is a code that is used', () => {
  assert.equal(documented.filter((code) => !used.has(code)).sort(), [])
})

test('no code has two headings', () => {
  const all = pages.flatMap(headingsOf)
  assert.equal(
    all.filter((code, index) => all.indexOf(code) !== index),
    [],
  )
})

test.run()
