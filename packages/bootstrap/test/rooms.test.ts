import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const source = join(import.meta.dirname, '../src')

/** The rooms of src from the foundation up: a file imports from its own room and from those before it. */
const rooms = [
  ...['secrets', 'generated', 'config', 'health', 'configure'],
  ...['restart', 'backup', 'upgrade', 'views'],
]

interface Import {
  readonly file: string
  readonly from: string
}

/** Imports that leave their room for one above it, or for one that has no place among them. */
function climbing(imports: readonly Import[]): Import[] {
  return imports.filter(({ file, from }) => {
    const [own, other] = [rooms.indexOf(roomOf(file)), rooms.indexOf(roomOf(from))]
    return own < 0 || other < 0 || other > own
  })
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? ''
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /^[^/]+\/.+\.ts$/.test(name),
)
const imports = files.flatMap((file) =>
  [...readFileSync(join(source, file), 'utf8').matchAll(/from '([^']+)'/g)].flatMap(
    ([, path = '']): Import[] =>
      path.startsWith('.') ? [{ file, from: join(file, '..', path) }] : [],
  ),
)

test('no room imports from one above it', () => {
  assert.ok(imports.length > 50)
  assert.equal(climbing(imports), [])
})

test('every room has its place, and every place its room', () => {
  assert.equal([...new Set(files.map(roomOf))].sort(), [...rooms].sort())
})

test('an import that climbs is found, and so is one from a room without a place', () => {
  const up = { file: 'health/health.ts', from: 'upgrade/flows.ts' }
  const nowhere = { file: 'attic/old.ts', from: 'health/health.ts' }
  const down = { file: 'upgrade/flows.ts', from: 'health/health.ts' }
  const within = { file: 'health/health.ts', from: 'health/rollout.ts' }
  assert.equal(climbing([up, nowhere, down, within]), [up, nowhere])
})

test.run()
