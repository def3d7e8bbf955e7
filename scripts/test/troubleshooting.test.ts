import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codes, projectRoot } from '@talosmith/core'
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
const shared: readonly string[] = Object.values(codes)
const used = new Set([
  ...shared,
  ...sources.flatMap((text) =>
    [...text.matchAll(/(?:new Problem\(\s*|\bcode(?::|\s*=)\s*)'([A-Z][A-Z0-9_]+)'/g)].map(
      ([, code = '']) => code,
    ),
  ),
])
const rulesFolder = join(projectRoot, 'scripts', 'diagnose', 'rules')
const rules = readdirSync(rulesFolder).map((name) => readFileSync(join(rulesFolder, name), 'utf8'))
const folder = join(projectRoot, 'docs', 'troubleshooting')
const headingsOf = (name: string): string[] =>
  [...readFileSync(join(folder, name), 'utf8').matchAll(/^## ([A-Z][A-Z0-9_]+)$/gm)].map(
    ([, code = '']) => code,
  )
const pages = readdirSync(folder)
const ofDiagnoses = headingsOf('diagnosis.md')
/** Codes that only a diagnosis has are compared in diagnose/report.test.ts. */
const documented = pages
  .flatMap(headingsOf)
  .filter((code) => !ofDiagnoses.includes(code) || shared.includes(code))

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

test('a state has one code, which doctor and diagnose take from the same place', () => {
  assert.is(new Set(shared).size, shared.length)
  for (const part of ['doctor', 'diagnose', 'diagnose/rules']) {
    const of = join(projectRoot, 'scripts', part)
    const names = readdirSync(of).filter((name) => name.endsWith('.ts'))
    const spelled = names.flatMap((name) =>
      [...readFileSync(join(of, name), 'utf8').matchAll(/'([A-Z][A-Z0-9_]+)'/g)]
        .filter(([, code = '']) => shared.includes(code))
        .map(([quoted]) => `${part}/${name}: ${quoted}`),
    )
    assert.equal(spelled, [])
  }
})

test('a former code is documented under its successor, and is not used', () => {
  const pagesText = pages.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
  const formerly = [...pagesText.matchAll(/^Formerly .*$/gm)].flatMap(([line]) =>
    [...line.matchAll(/[A-Z]+(?:_[A-Z]+)+/g)].map(([code]) => code),
  )
  const given = formerly.filter((code) => code !== 'IMAGE_PATH')
  for (const code of ['POOL_STOPPED', 'POOL_OUT_OF_SPACE', 'UEFI_MISSING'])
    assert.ok(given.includes(code), code)
  const all = [...sources, ...rules]
  assert.equal(
    given.filter((code) => all.some((text) => text.includes(`'${code}'`))),
    [],
  )
})

test.run()
