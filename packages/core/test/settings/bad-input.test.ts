import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadCluster } from '../../src/settings/find.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

/** Each fixture is an env file with one mistake; its first line is the error that must be reported. */
const folder = join(import.meta.dirname, 'fixtures')
const fixtures = readdirSync(folder).sort()

const root = temporaryFolder('bad-input')
mkdirSync(join(root, 'env'))
for (const name of fixtures)
  writeFileSync(join(root, 'env', name), readFileSync(join(folder, name)))

/** Every file below the root, with its size and time. */
function state(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => {
    const { size, mtimeMs } = statSync(join(root, name))
    return `${name} ${size} ${mtimeMs}`
  })
}
const before = state()

for (const name of fixtures) {
  const text = readFileSync(join(folder, name), 'utf8')
  const expected = /^# reported: (.+)$/m.exec(text)?.[1] ?? 'nothing'
  test(`${name} is rejected: ${expected}`, async () => {
    const problem = await problemOf(loadCluster(root, name.replace(/\.env$/, ''), {}))
    assert.is(problem.code, 'SETTINGS_INVALID', String(problem.stack))
    assert.is(problem.exitCode, 78)
    const [error = '', ...others] = problem.because?.trim().split('\n') ?? []
    assert.equal(others, [], `one mistake, one line: ${error}`)
    assert.ok(error.includes(expected), `${error}\ndoes not contain\n${expected}`)
    const [, key = ''] = /^([^\s:]+|line \d+): /.exec(error) ?? []
    assert.is.not(key, '', `it names a key: ${error}`)
    assert.is(problem.now, 'nothing was changed')
    assert.match(problem.hint ?? '', new RegExp(`env/${name}`))
    assert.match(problem.hint ?? '', placeOf(key, text))
    assert.not.match(`${problem.message} ${error} ${problem.hint}`, /pass@|token@/)
  })
}

/** What the hint names for a key: its line, or where to set it when the file relies on its default. */
function placeOf(key: string, text: string): RegExp {
  if (key.startsWith('line ')) return new RegExp(`correct ${key} of`)
  const lines = text
    .split('\n')
    .flatMap((content, index) => (content.includes(key) ? [index + 1] : []))
  const written = lines.filter((line) => line > 1)
  return written.length > 0
    ? new RegExp(`correct lines? [\\d, ]*\\b(?:${written.join('|')})\\b`)
    : new RegExp(`set (?:[A-Z_]+ or )*${key}`)
}

test('nothing was touched', () => {
  assert.equal(state(), before)
})

test('there are at least 160 kinds of bad settings', () => {
  assert.ok(fixtures.length >= 160, `${fixtures.length}`)
})

test.run()
