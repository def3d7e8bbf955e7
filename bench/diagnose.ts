/**
 * Measures cluster:doctor for one host (goal: at most 10 s) and cluster:diagnose for ten machines, half of them
 * unreachable (goal: at most 15 s): with a real sshd, libvirt's test driver, a TLS server at the other machines'
 * addresses, an API server, and recorded answers. The best of three rounds.
 *
 * The unreachable machines accept connections and never answer: dropping packets would need firewall rules on
 * this machine. For the caller it is the same, since each query waits for its whole time limit.
 *
 *   npm run bench -- diagnose       as root, because of sshd
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as listen, type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { findTool, projectRoot } from '@talosmith/core'
import { hasSshd, temporaryFolder } from '@talosmith/core/testing'
import { benchCluster, which } from './plan-status/cluster.ts'
import { startKvmHost } from './plan-status/kvm-host.ts'
import { startMachines } from './plan-status/talos.ts'
import { addLocalNetwork } from './support/local-network.ts'

const goals = { doctor: 10, diagnose: 15 }
if (!hasSshd || which('virsh') === undefined) {
  console.log('skipped: needs root, sshd and virsh')
  process.exit()
}

addLocalNetwork()
const folder = temporaryFolder('bench')
const factory = createServer(({ url = '' }, response) =>
  response.end(url === '/versions' ? '["v1.13.9"]' : '[]'),
)
await new Promise<void>((resolve) => factory.listen(0, '127.0.0.1', resolve))
const host = await startKvmHost(folder)
const { cluster, overrides } = await benchCluster(10, {
  libvirtUri: host.uri,
  factory: `http://127.0.0.1:${(factory.address() as AddressInfo).port}`,
})
host.put(cluster)
const talosctl = await findTool('talosctl', cluster)
// The first control plane answers, and four workers; the others only accept connections.
const answering = cluster.nodes.filter((_, index) => index === 0 || index > 5)
const machines = await startMachines(
  { ...cluster, nodes: answering, controlPlanes: answering.slice(0, 1) },
  mkdtempSync(join(folder, 'machines-')),
  { talosctl: talosctl.path },
)
const silent = await Promise.all(
  cluster.nodes.filter((node) => !answering.includes(node)).map(({ address }) => mute(address)),
)
try {
  for (const [name, goal] of Object.entries(goals)) {
    const rounds = []
    for (let round = 0; round < 3; round++) rounds.push(await timed(join('scripts', `${name}.ts`)))
    const best = Math.min(...rounds)
    console.log(`${name.padEnd(10)} ${best.toFixed(1)} s (goal: ${goal} s)`)
    if (best > goal) process.exitCode = 1
  }
} finally {
  await machines.stop()
  silent.forEach((server) => server.close())
  await host.stop()
  factory.close()
  rmSync(cluster.generated, { recursive: true, force: true })
}

/** Accepts connections at Talos' port, and never answers. */
function mute(address: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = listen((socket) => socket.on('error', () => undefined)).unref()
    server.listen(50_000, address, () => resolve(server))
  })
}

async function timed(path: string): Promise<number> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', path, '--json'], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...overrides, XDG_CACHE_HOME: machines.cache },
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await new Promise((resolve) => child.on('close', resolve))
  // Both report problems; their output must be complete JSON.
  JSON.parse(output)
  return (performance.now() - started) / 1000
}
