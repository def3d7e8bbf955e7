import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClusterStatus } from '../status/report.ts'

const settings = {
  CLUSTER_NAME: 'silent',
  NETWORK_CIDR: '127.13.15.0/24',
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '2',
}
const cluster = testCluster(settings, projectRoot)
const sockets = new Set<Socket>()

/** A tool cache with a talosctl that only reports its version: no machine answers. */
const cache = temporaryFolder('status')
const version = cluster.settings.TALOS_VERSION
const tool = join(cache, 'talosmith', 'tools', 'talosctl', version)
mkdirSync(tool, { recursive: true })
writeFileSync(join(tool, 'talosctl'), `#!/bin/sh\necho Talos ${version}\n`, { mode: 0o755 })

/** Accepts connections and never answers: worse than a machine that is off. */
async function silentServer(host: string, port: number): Promise<Server> {
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return server
}

test('a status takes less than ten seconds when neither the host nor any machine answers', async () => {
  const ssh = await silentServer('127.0.0.1', 0)
  const machines = await Promise.all(
    cluster.nodes.map(({ address }) => silentServer(address, 50_000)),
  )
  const { port } = ssh.address() as AddressInfo
  const started = performance.now()
  const { code, output } = await run({
    ...settings,
    LIBVIRT_URI: `qemu+ssh://root@127.0.0.1:${port}/system?known_hosts=/dev/null`,
  })
  const seconds = (performance.now() - started) / 1000
  sockets.forEach((socket) => socket.destroy())
  await Promise.all([ssh, ...machines].map((server) => new Promise((done) => server.close(done))))
  assert.is(code, 0)
  assert.ok(seconds < 10, `it took ${seconds} s`)
  const { nodes, unknown } = JSON.parse(output) as ClusterStatus
  for (const { talos, reasons } of nodes) {
    assert.is(talos, null)
    assert.match(reasons[0] ?? '', 'does not answer')
  }
  const reasons = new Map(unknown.map(({ source, reason }) => [source, reason]))
  assert.match(reasons.get('hosts') ?? '', /no answer within \d s/)
  assert.is(reasons.get('etcd'), 'no control plane answers')
  assert.is(reasons.get('kubernetes'), 'there is no kubeconfig')
})

test('a status writes no files', () => {
  assert.not.ok(existsSync(cluster.generated))
})

async function run(
  described: Readonly<Record<string, string>>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', join('scripts', 'test', 'status-program.ts'), JSON.stringify(described)],
    {
      cwd: projectRoot,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, XDG_CACHE_HOME: cache },
    },
  )
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output }
}

test.run()
