/** lab:test-guest: runs the Go tests of the lab's programs and counts them in the format of the other tests. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { projectRoot } from '@talosmith/core'
import { GoTests } from '../src/go-tests.ts'
import { buildEnvironment, builtPath, buildTags, isBuilt } from '../src/tools.ts'

const packages = ['./node/...', './nfs/...', './provisioner/...']
const go = ['go', 'test', '-json', ...buildTags, ...packages]
// Niced: a cluster may be running on this machine.
const child = spawn('nice', ['-n', '19', ...go], {
  cwd: join(projectRoot, 'lab', 'tools'),
  env: {
    ...process.env,
    ...buildEnvironment,
    // Without it, tests of the real etcd are skipped.
    ...(isBuilt('kubelab') ? { LAB_ETCD: builtPath('kubelab') } : {}),
  },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const tests = new GoTests()
const ended = new Promise<number>((resolve) => {
  child.once('error', () => resolve(127))
  child.once('close', (code) => resolve(code ?? 1))
})
for await (const line of createInterface({ input: child.stdout })) {
  const text = tests.take(line)
  if (text !== undefined) console.log(text)
}
const code = await ended
const { passed, failed, skipped } = tests.count(code)
console.log(`tests: ${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed > 0 ? 1 : 0
