/**
 * `npm test`: runs all tests, fast ones first: format, layers and imports; types; the lab, which installs tools
 * without which tests are skipped; unit tests of every project (through Nx, cached); the lab's guest programs;
 * clusters in the lab. It ends at the first stage that fails (stages.ts), with one line, `N passed, N failed`.
 *
 *   npm test [-- --no-lab | --ha]     without the lab | also with three control planes
 */
import { spawn } from 'node:child_process'
import { runStages, stagesOf, type Counts, type Stage } from './stages.ts'

const stages = stagesOf({
  lab: !process.argv.includes('--no-lab'),
  ha: process.argv.includes('--ha'),
})
const { total, failed, left } = await runStages(stages, count)
if (failed !== undefined) {
  const names = left.map(({ name }) => name).join(', ')
  console.log(`failed at: ${failed.name}${names === '' ? '' : `; not run: ${names}`}`)
}
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed > 0 ? 1 : 0

/** Runs a stage, shows what it prints, and adds up the `tests:` lines in it. */
async function count({ command, args, env }: Stage): Promise<Counts & { code: number | null }> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let rest = ''
  let passed = 0
  let failed = 0
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk)
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, good, bad] = /^tests: (\d+) passed, (\d+) failed/.exec(line) ?? []
      passed += Number(good ?? 0)
      failed += Number(bad ?? 0)
    }
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { passed, failed, code }
}
