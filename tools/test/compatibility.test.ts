import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { minorOf, projectRoot, supportedTalosMinors } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rowOf, type RunRecord } from '../e2e/record.ts'

const docs = join(projectRoot, 'docs')
const page = readFileSync(join(docs, 'compatibility.md'), 'utf8')
const [matrix = '', runs = ''] = page.split('## Runs on real Talos')
const rows = matrix
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
const header = rows.findIndex(([first]) => first === 'feature')
const [, ...minors] = rows[header]?.slice(0, -1) ?? []
const features = rows.slice(header + 2)
const kinds = ['contract', 'unit', 'lab', 'real']
/** The minor that the lab's chapters and the real machine run: the default one. */
const defaultMinor = minorOf(testCluster({}).settings.TALOS_VERSION)

test('docs/compatibility.md has every supported Talos minor, and no other', () => {
  assert.equal(minors, supportedTalosMinors)
  assert.ok(features.length > 0)
})

for (const [feature = '', ...cells] of features) {
  const links = [...(cells.at(-1) ?? '').matchAll(/\[(\w+)\]\(([^)]+)\)/g)]
  const evidence = new Map(links.map(([, kind = '', path = '']) => [kind, join(docs, path)]))
  const stated = minors.flatMap((minor, index) =>
    (cells[index] ?? '')
      .split(', ')
      .filter((kind) => kind !== '–')
      .map((kind) => ({ minor, kind })),
  )

  test(`every cell names its evidence: ${feature}`, () => {
    for (const { minor, kind } of stated) assert.ok(kinds.includes(kind), `${minor}: ${kind}`)
    const named = new Set(stated.map(({ kind }) => kind).filter((kind) => kind !== 'real'))
    assert.equal([...named].sort(), [...evidence.keys()].sort())
  })

  test(`the evidence is of that minor: ${feature}`, () => {
    for (const { minor, kind } of stated) {
      if (kind === 'real' || kind === 'lab') assert.is(minor, defaultMinor)
      const file = evidence.get(kind)
      // lab/ may be deleted.
      if (file === undefined || !existsSync(join(projectRoot, 'lab'))) continue
      assert.ok(existsSync(file), file)
      const text = readFileSync(file, 'utf8')
      if (kind !== 'lab') assert.match(text, new RegExp(`\\bv?${minor.replace('.', '\\.')}\\.\\d`))
    }
  })

  test(`no evidence in the same file is left out: ${feature}`, () => {
    for (const [kind, file] of evidence) {
      if (kind === 'lab' || !existsSync(file)) continue
      const text = readFileSync(file, 'utf8')
      const missing = minors.filter(
        (minor) =>
          new RegExp(`'v${minor.replace('.', '\\.')}\\.\\d+'`).test(text) &&
          !stated.some((one) => one.kind === kind && one.minor === minor),
      )
      // A version that only the newest talosctl does not know yet is in that test for another reason.
      assert.equal(
        missing.filter((minor) => minor !== minors.at(-1)),
        [],
      )
    }
  })
}

test('every record in docs/runs has its row', () => {
  const folder = join(docs, 'runs')
  const records = existsSync(folder) ? readdirSync(folder) : []
  const expected = records.map((name) =>
    rowOf(JSON.parse(readFileSync(join(folder, name), 'utf8')) as RunRecord),
  )
  const shown = runs.split('\n').filter((line) => /^\| \d{4}-/.test(line))
  assert.equal(shown.sort(), expected.sort())
})

test.run()
