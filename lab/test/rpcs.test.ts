import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { call, callsOf, filled, readerAccess, unimplemented } from '../e2e/rpcs.ts'

const node = join(projectRoot, 'lab/tools/node')
const page = readFileSync(join(node, 'RPCS.md'), 'utf8')
const where = {
  controlPlane: '10.0.0.1',
  worker: '10.0.0.2',
  installer: 'i/i:v1',
  folder: '/tmp/a',
}
const calls = [...callsOf(where), call('10.0.0.1', readerAccess(where))]
const called = new Set(calls.map(({ rpc }) => rpc))

/** Rows of the tables with three columns: what it is, its state, and its drivers. */
const rows = page.split('\n').flatMap((line) => {
  const [, names = '', state = '', drivers] = line.split(/ ?\| /)
  return drivers === undefined || /^(?:---|method|behaviour)/.test(names)
    ? []
    : [{ names, state, drivers: drivers.replace(/ \|$/, '').split('; ') }]
})
const drivenByCalls = rows
  .filter(({ drivers }) => drivers.includes('1a'))
  .flatMap(({ names }) => names.split(', '))

/** The reason why a driver does not exist; undefined if it exists. */
function problem(driver: string): string | undefined {
  if (driver === '1a' || driver === 'nothing') return undefined
  const [, pkg, name] = /^Go (\w+)\.(Test\w+)$/.exec(driver) ?? []
  if (pkg !== undefined) {
    const files = readdirSync(join(node, pkg)).filter((file) => file.endsWith('_test.go'))
    const isThere = files.some((file) =>
      readFileSync(join(node, pkg, file), 'utf8').includes(`func ${name}(`),
    )
    return isThere ? undefined : `${pkg} has no ${name}`
  }
  const [, ha, file, title = ''] = /^(ha\/)?([\w-]+) "(.+)"$/.exec(driver) ?? []
  if (file === undefined) return `not a driver: ${driver}`
  const path = join(projectRoot, ha === undefined ? 'lab/e2e' : 'lab/e2e-ha', `${file}.test.ts`)
  if (!existsSync(path)) return `${path} does not exist`
  return readFileSync(path, 'utf8').includes(title) ? undefined : `${file} has no test "${title}"`
}

test('the page has its tables', () => {
  assert.ok(rows.length > 45, `${rows.length} rows`)
})

for (const { names, drivers } of rows)
  test(`what drives ${names} exists`, () => {
    assert.equal(drivers.map(problem).filter(Boolean), [])
  })

test('every row that names the table of calls has a call', () => {
  assert.equal(
    drivenByCalls.filter((name) => !called.has(name)),
    [],
  )
})

test('every call has its row', () => {
  const known = new Set([...drivenByCalls, ...Object.keys(filled).map((name) => `get ${name}`)])
  assert.equal(
    [...called].filter((name) => !known.has(name)),
    [],
  )
})

test('every Unimplemented method is called, or listed as driven by nothing', () => {
  const claimed = rows
    .filter(({ state, drivers }) => state.startsWith('Unimplemented') && drivers.includes('1a'))
    .flatMap(({ names }) => names.split(', '))
  assert.equal(claimed.sort(), Object.keys(unimplemented).sort())
})

test('the resources that the page lists as filled are those that 1a requests', () => {
  const [, text = ''] = /1a requests each of them: ([^]*?)\.\n/.exec(page) ?? []
  const names = text
    .replaceAll(/\s*\([^)]*\)/g, '')
    .replaceAll('\n', ' ')
    .split(/, | and /)
  assert.equal(names.sort(), Object.keys(filled).sort())
})

test.run()
