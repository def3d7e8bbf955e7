import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findUndeclared } from '../checks/declared.ts'
import { readManifests, readSources, type Source } from '../checks/sources.ts'

type Versions = Readonly<Record<string, string>>

/** The problems of one package, packages/a, with its declarations and the imports of its files. */
function judge(
  dependencies: Versions,
  devDependencies: Versions,
  files: Readonly<Record<string, readonly string[]>>,
): string[] {
  const root = { folder: '', name: 'root', dependencies: {}, devDependencies: { nx: '1.0.0' } }
  const own = { folder: 'packages/a', name: '@talosmith/a', dependencies, devDependencies }
  const sources: Source[] = Object.entries(files).map(([name, imports]) => ({
    path: `packages/a/${name}`,
    imports,
  }))
  return findUndeclared([root, own], sources, (name) => name === 'nx')
}

test('a package that declares its imports in the right place has no problems', () => {
  const files = {
    'src/one.ts': ['node:fs', 'path', './two.ts', 'zod', '@talosmith/core', 'semver/functions/gt'],
    'test/one.test.ts': ['uvu', 'uvu/assert', 'zod', '@talosmith/core/testing', '@talosmith/a'],
    'src/testing/one.ts': ['uvu'],
  }
  const dependencies = { zod: '1.0.0', '@talosmith/core': '*', semver: '7.0.0' }
  assert.equal(judge(dependencies, { uvu: '1.0.0', '@types/semver': '7.0.0' }, files), [])
})

const cases: readonly [string, string[], string][] = [
  [
    'an import that is not declared',
    judge({}, {}, { 'src/one.ts': ['zod'] }),
    'packages/a/src/one.ts imports zod, which packages/a/package.json does not declare',
  ],
  [
    "an import of what only the workspace's own package.json declares",
    judge({}, {}, { 'src/one.ts': ['nx'] }),
    'packages/a/src/one.ts imports nx, which packages/a/package.json does not declare',
  ],
  [
    'an import of a test dependency in a file that is not a test',
    judge({}, { zod: '1.0.0' }, { 'src/one.ts': ['zod'] }),
    'packages/a/src/one.ts imports zod, which packages/a/package.json has for tests only',
  ],
  [
    'a dependency that no file imports',
    judge({ zod: '1.0.0' }, {}, { 'src/one.ts': ['node:fs'] }),
    'packages/a/package.json declares zod, which nothing of it imports',
  ],
  [
    'types of a package that no file imports',
    judge({}, { '@types/semver': '7.0.0' }, {}),
    'packages/a/package.json declares @types/semver, which nothing of it imports',
  ],
  [
    'a dependency that only tests import',
    judge({ uvu: '1.0.0' }, {}, { 'test/one.test.ts': ['uvu'] }),
    'packages/a/package.json has uvu in dependencies, but only tests import it',
  ],
  [
    'two versions of one package',
    judge({ nx: '2.0.0' }, {}, { 'src/one.ts': ['nx'] }),
    'nx is declared in several versions: 1.0.0, 2.0.0',
  ],
]
for (const [title, problems, sentence] of cases)
  test(`names ${title}`, () => {
    assert.equal(problems, [sentence])
  })

test('reads imports of every kind from files, but not text that looks like one', () => {
  const root = temporaryFolder('sources')
  const put = (name: string, text: string): void => {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  put('package.json', '{"name":"root","workspaces":["packages/*","lab"]}')
  put('packages/a/package.json', '{"name":"a","dependencies":{"zod":"1.0.0"}}')
  put('packages/not-a-package/readme.txt', '')
  put('lab/package.json', '{"name":"lab"}')
  put(
    'packages/a/src/generated/one.ts',
    `import 'bare'\nimport type { A } from 'types'\nexport * from 'again'
const later = await import('later')\nconst old = require('old')
// import 'comment'\nconst text = "import x from 'text'"\n`,
  )
  for (const name of ['generated/one.ts', 'dist/one.js', 'node_modules/one/index.js', '.nx/one.js'])
    put(name, "import 'foreign'")
  assert.equal(
    readManifests(root).map(({ folder, name }) => `${folder}:${name}`),
    [':root', 'packages/a:a', 'lab:lab'],
  )
  assert.equal(
    readSources(root).map(({ path, imports }) => [path, [...imports].sort()]),
    [['packages/a/src/generated/one.ts', ['again', 'bare', 'later', 'old', 'types']]],
  )
})

test.run()
