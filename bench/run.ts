/**
 * Runs benches. Each bench/<name>.ts is a program that measures and prints a table.
 *
 *   npm run bench              all of them
 *   npm run bench -- image     those whose name begins with image
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const prefix = process.argv[2] ?? ''
const names = readdirSync(import.meta.dirname).filter(
  (name) => name.endsWith('.ts') && name !== 'run.ts' && name.startsWith(prefix),
)
if (names.length === 0) console.error(`no bench begins with "${prefix}"`)
let failed = names.length === 0
for (const name of names) {
  console.log(`\n=== ${name.replace('.ts', '')}`)
  const { status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, name)],
    {
      stdio: 'inherit',
    },
  )
  failed ||= status !== 0
}
process.exitCode = failed ? 1 : 0
