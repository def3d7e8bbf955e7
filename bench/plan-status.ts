/**
 * Measures cluster:plan and cluster:status for 3, 10, 25 and 50 machines: a complete cluster with a real sshd,
 * libvirt's test driver, a TLS server at every machine's address, an API server, and recorded answers of
 * talosctl. Goals: at most 2 s with 50 machines, less than three times the time with 3, and no additional SSH
 * command, virsh or talosctl process.
 *
 * The wall time includes the start of node and tsx; sizes alternate in several rounds, and the best of each
 * counts, because other load only slows them down.
 *
 *   npm run bench -- plan-status       PLAN_BENCH_ROUNDS=9 for more rounds; as root, because of sshd
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { findTool, projectRoot } from '@talosmith/core'
import { hasSshd, temporaryFolder } from '@talosmith/core/testing'
import { benchCluster, which } from './plan-status/cluster.ts'
import { startKvmHost } from './plan-status/kvm-host.ts'
import { startMachines } from './plan-status/talos.ts'
import { addLocalNetwork } from './support/local-network.ts'

const sizes = [3, 10, 25, 50]
const rounds = Number(process.env['PLAN_BENCH_ROUNDS'] ?? 5)
const goals = { seconds: 2, growth: 3 }

if (!hasSshd || which('virsh') === undefined) {
  console.log('skipped: needs root, sshd and virsh')
  process.exit()
}

interface Measure {
  readonly seconds: number
  readonly counts: string
}

addLocalNetwork()
const folder = temporaryFolder('bench')
const factory = createServer(({ url = '' }, response) =>
  response.end(url === '/versions' ? '["v1.13.9"]' : '[]'),
)
await new Promise<void>((resolve) => factory.listen(0, '127.0.0.1', resolve))
const factoryUrl = `http://127.0.0.1:${(factory.address() as AddressInfo).port}`
const host = await startKvmHost(folder)
const measures = new Map<string, Measure[]>()
try {
  for (let round = 0; round < rounds; round++) for (const size of sizes) await measure(size)
} finally {
  await host.stop()
  factory.close()
}
process.exitCode = report() ? 0 : 1

async function measure(size: number): Promise<void> {
  const { cluster, overrides } = await benchCluster(size, {
    libvirtUri: host.uri,
    factory: factoryUrl,
  })
  const talosctl = await findTool('talosctl', cluster)
  try {
    host.put(cluster)
    const machines = await startMachines(cluster, mkdtempSync(join(folder, 'machines-')), {
      talosctl: talosctl.path,
    })
    try {
      for (const name of ['plan', 'status']) {
        const env = { ...overrides, XDG_CACHE_HOME: machines.cache }
        const seconds = await timed(join('scripts', `${name}.ts`), env)
        const used = { ...host.counts(), ...machines.counts() }
        const counts = Object.entries(used).map(([what, count]) => `${count} ${what}`)
        const key = `${name} ${size}`
        measures.set(key, [...(measures.get(key) ?? []), { seconds, counts: counts.join(', ') }])
      }
    } finally {
      await machines.stop()
    }
  } finally {
    rmSync(cluster.generated, { recursive: true, force: true })
  }
}

/** The seconds that a program takes; the bench fails if it fails, or finds differences or unknowns. */
async function timed(path: string, env: Readonly<Record<string, string>>): Promise<number> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', path, '--json'], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const seconds = (performance.now() - started) / 1000
  const result = JSON.parse(output || '{}') as { unknown?: unknown[] }
  if (code !== 0 || (result.unknown?.length ?? 0) > 0)
    throw new Error(`${path} (${code}): ${output}`)
  return seconds
}

function report(): boolean {
  let isGood = true
  for (const name of ['plan', 'status']) {
    console.log(`\ncluster:${name}`)
    const best = sizes.map((size) => {
      const all = measures.get(`${name} ${size}`) ?? []
      const fastest = all.reduce((one, other) => (other.seconds < one.seconds ? other : one))
      console.log(
        `  ${String(size).padStart(2)} machines  ${fastest.seconds.toFixed(2)} s  ${fastest.counts}`,
      )
      return fastest
    })
    const [first, last] = [best[0], best.at(-1)]
    if (first === undefined || last === undefined) throw new Error('nothing was measured')
    const growth = last.seconds / first.seconds
    const isEven = best.every(({ counts }) => counts === first.counts)
    console.log(
      `  from 3 to 50: ${growth.toFixed(2)} times (goal: < ${goals.growth}); goal at 50: <= ${goals.seconds} s; processes ${isEven ? 'do not grow' : 'GROW'}`,
    )
    isGood &&= growth < goals.growth && last.seconds <= goals.seconds && isEven
  }
  return isGood
}
