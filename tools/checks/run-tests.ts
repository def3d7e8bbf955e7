/**
 * Runs uvu test files, each in a process of its own, and counts the results. Fails where uvu
 * does not: for a file without tests, a forgotten `test.run()`, a hook that throws, an `.only`, a test that
 * never ends.
 *
 *   tsx tools/checks/run-tests.ts [--one-by-one] [--limit-s 120] <folder>...
 *
 * A file that runs longer than the limit is ended, and fails with the names of the tests that had begun. A
 * file can set a longer limit in a line of its own: `// limit: 300 s`.
 */
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { projectRoot } from '@talosmith/core'
import { endWithRunner, runTestFile, type Ended } from './test-file.ts'

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A call of `.only` on any suite; after a quote or a comment on the same line it is only text. */
const onlyCall = /^[^'"`/*\n]*\b\w+\.only\(/m

/** The limit that a test file sets for itself. */
const ownLimit = /^\/\/ limit: (\d+) s$/m

const { values, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    'one-by-one': { type: 'boolean', default: false },
    'limit-s': { type: 'string', default: '120' },
  },
})
const limitS = Number(values['limit-s'])
if (!(limitS > 0)) throw new Error(`--limit-s ${values['limit-s']} is not a number of seconds`)
const atOnce = values['one-by-one'] ? 1 : availableParallelism()
endWithRunner()
const files = (await Promise.all(folders.map(findTests))).flat().sort()
const outcomes: Outcome[] = []
if (files.length === 0) {
  console.log(`no test file (*.test.ts) below ${folders.join(', ')}`)
  outcomes.push({ passed: 0, failed: 1, skipped: 0 })
}
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift())
      outcomes.push(await runFile(file))
  }),
)
const sum = (pick: (outcome: Outcome) => number): number =>
  outcomes.reduce((total, outcome) => total + pick(outcome), 0)
console.log(
  `tests: ${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed, ${sum(({ skipped }) => skipped)} skipped`,
)
process.exitCode = sum(({ failed }) => failed) > 0 ? 1 : 0

async function findTests(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter(
      (entry) =>
        entry.isFile() &&
        entry.name.endsWith('.test.ts') &&
        !entry.parentPath.includes('node_modules'),
    )
    .map((entry) => join(entry.parentPath, entry.name))
}

async function runFile(file: string): Promise<Outcome> {
  const name = relative(projectRoot, resolve(file))
  const text = await readFile(file, 'utf8')
  if (onlyCall.test(text)) {
    console.log(`${name}: a test has .only`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
  const started = performance.now()
  const fileLimitS = Number(ownLimit.exec(text)?.[1] ?? limitS)
  const { output, code, begun } = await runTestFile(file, fileLimitS * 1000)
  const count = (label: string): number =>
    Number(new RegExp(`^ {2}${label}:\\s+(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const [total, passed, skipped] = [count('Total'), count('Passed'), count('Skipped')]
  // uvu's total leaves skipped tests out.
  const reported = total + skipped > 0
  const failed = Math.max(total - passed, code === 0 && reported ? 0 : 1)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (failed > 0) {
    console.log(output.trimEnd())
    if (begun !== undefined) console.log(describeTimeout(name, begun, fileLimitS))
    // uvu does not print what a hook throws.
    else if (!output.includes(' FAIL '))
      console.log(
        `${name}: the file failed without a failed test; is run() missing, or did a hook throw?`,
      )
  }
  const skips = skipped > 0 ? `, ${skipped} skipped` : ''
  console.log(
    `${failed > 0 ? 'FAILED' : 'ok'}  ${name}: ${passed} of ${total}${skips} (${seconds} s)`,
  )
  return { passed, failed, skipped }
}

function describeTimeout(
  name: string,
  begun: NonNullable<Ended['begun']>,
  fileLimitS: number,
): string {
  const last = begun.at(-1)
  return [
    `${name}: ended at its limit of ${fileLimitS} s`,
    ...begun.slice(0, -1).map((test) => `  had run:  ${test}`),
    last === undefined ? '  no test had begun' : `  running:  ${last}`,
  ].join('\n')
}
