/**
 * Everything there is to test, as `npm test`: the lab, which brings the tools without which tests are
 * skipped; format, types, layers and unit tests of every project (through Nx, cached); what the lab's guests are
 * made of; then clusters in the lab. Ends with one line, `N passed, N failed`.
 *
 *   npm test [-- --no-lab | --ha]     without the lab | with upgrades that fail, are killed, and a restore as well
 */
import { spawn } from 'node:child_process'

const withLab = !process.argv.includes('--no-lab')
const suites = process.argv.includes('--ha') ? ['lab/e2e', 'lab/e2e-ha'] : ['lab/e2e']
const total = { passed: 0, failed: 0 }
if (withLab) {
  await count('npx', ['nx', 'run', 'lab:start'], { CLUSTER: 'lab' })
  if (total.failed > 0) console.log('lab:start failed, so nothing is tried in the lab')
}
await count('npx', ['nx', 'run-many', '-t', 'check', '--outputStyle=stream-without-prefixes'])
if (withLab && total.failed === 0) {
  await count('npx', ['nx', 'run', 'lab:test-guest', '--outputStyle=stream-without-prefixes'])
  await count('npx', ['tsx', 'tools/checks/run-tests.ts', '--one-by-one', ...suites])
}
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed > 0 ? 1 : 0

/** Runs a command, shows what it prints, and adds up the `tests:` lines in it. */
async function count(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let rest = ''
  let failed = 0
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk)
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, passed, broken] = /^tests: (\d+) passed, (\d+) failed/.exec(line) ?? []
      total.passed += Number(passed ?? 0)
      failed += Number(broken ?? 0)
    }
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  // What is no test (the lab's start, types, format, layers) fails without a count: it is one failure.
  total.failed += code === 0 ? failed : Math.max(failed, 1)
}
