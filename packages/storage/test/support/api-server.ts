/** A real etcd, kube-apiserver and kube-controller-manager on loopback, in a scratch folder. */
import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCa, renderKubeconfig } from '@talosmith/clients/testing'
import { temporaryFolder } from '@talosmith/core/testing'

/** A cluster without nodes: only its API and the controllers that volumes and namespaces need. */
export interface ApiServer {
  readonly kubeconfig: string
  /** Asks the API directly, as an administrator. */
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: Json }>
  stop(): Promise<void>
}

/** What the API answers: looked into, not described. */
export interface Json {
  readonly [key: string]: JsonValue
}
export type JsonValue = string | number | boolean | null | undefined | Json | readonly JsonValue[]

/** The one binary that is etcd, kube-apiserver and kube-controller-manager by its name; undefined: none here. */
export async function findKubelab(): Promise<string | undefined> {
  const given = process.env['KUBELAB']
  if (given !== undefined && given !== '') return given
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'talosmith')
  for (const name of await readdir(cache).catch(() => []))
    for (const folder of [join(cache, name), join(cache, name, 'tools')])
      for (const built of await readdir(folder).catch(() => [])) {
        const path = join(folder, built, 'kubelab')
        if (existsSync(path)) return path
      }
  return undefined
}

export async function startApiServer(kubelab: string): Promise<ApiServer> {
  const folder = temporaryFolder('storage')
  const processes: ChildProcess[] = []
  const run = async (name: string, ...args: string[]): Promise<void> => {
    const program = join(folder, name)
    await symlink(kubelab, program)
    const log = createWriteStream(join(folder, `${name}.log`))
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.pipe(log)
    child.stderr.pipe(log)
    processes.push(child)
  }
  const [etcdPort, peerPort, port, controllersPort] = await freePorts(4)
  const token = randomUUID()
  const certs = join(folder, 'certs')
  await mkdir(certs)
  await writeFile(join(folder, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`)
  const kubeconfig = join(folder, 'kubeconfig')
  const ca = createCa('/CN=kubernetes')
  const admin = ca.issue('/O=system:masters/CN=admin')
  const own = ca.issue('/CN=kube-apiserver')
  const files = {
    ca: join(certs, 'ca.crt'),
    cert: join(certs, 'api.crt'),
    key: join(certs, 'api.key'),
  }
  await writeFile(files.ca, ca.cert)
  await writeFile(files.cert, own.cert)
  await writeFile(files.key, own.key, { mode: 0o600 })
  const text = renderKubeconfig(`https://127.0.0.1:${port}`, ca.cert, admin)
  await writeFile(kubeconfig, text, { mode: 0o600 })
  await run(
    'etcd',
    `--data-dir=${join(folder, 'etcd-data')}`,
    `--listen-client-urls=http://127.0.0.1:${etcdPort}`,
    `--advertise-client-urls=http://127.0.0.1:${etcdPort}`,
    `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    '--unsafe-no-fsync',
  )
  const key = join(folder, 'service-account.key')
  await writeFile(key, serviceAccountKey())
  await run(
    'kube-apiserver',
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--client-ca-file=${files.ca}`,
    `--tls-cert-file=${files.cert}`,
    `--tls-private-key-file=${files.key}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-cluster-ip-range=10.96.0.0/24',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--endpoint-reconciler-type=none',
    '--enable-priority-and-fairness=false',
  )
  const api: ApiServer['api'] = (method, path, body) =>
    ask({ method, path, body, port: Number(port), token })
  const stop = async (): Promise<void> => {
    for (const child of processes.toReversed()) {
      if (child.exitCode !== null) continue
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
  }
  try {
    await until(async () => (await api('GET', '/readyz')).status === 200, 90_000)
    await run(
      'kube-controller-manager',
      `--kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      `--secure-port=${controllersPort}`,
      '--bind-address=127.0.0.1',
      `--cert-dir=${certs}`,
      `--service-account-private-key-file=${key}`,
      `--controllers=${[
        'namespace-controller',
        'serviceaccount-controller',
        'persistentvolume-binder-controller',
        'persistentvolumeclaim-protection-controller',
        'persistentvolume-protection-controller',
        'garbage-collector-controller',
      ].join(',')}`,
    )
    const account = '/api/v1/namespaces/kube-system/serviceaccounts/default'
    await until(async () => (await api('GET', account)).status === 200, 60_000)
  } catch (error) {
    await stop()
    throw error
  }
  return { kubeconfig, api, stop }
}

export async function until(check: () => Promise<boolean>, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await check().catch(() => false))) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${check.toString()}`)
    await sleep(200)
  }
}

function ask(o: {
  method: string
  path: string
  body: unknown
  port: number
  token: string
}): Promise<{ status: number; body: Json }> {
  const type = o.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: '127.0.0.1',
        port: o.port,
        path: o.path,
        method: o.method,
        rejectUnauthorized: false,
        headers: { authorization: `Bearer ${o.token}`, 'content-type': type },
      },
      (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString()
          const body = text.startsWith('{') ? (JSON.parse(text) as Json) : {}
          resolve({ status: answer.statusCode ?? 0, body })
        })
      },
    )
    call.on('error', reject)
    call.end(o.body === undefined ? undefined : JSON.stringify(o.body))
  })
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  return servers.map((server) => {
    const address = server.address()
    server.close()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
}

function serviceAccountKey(): string {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  }).privateKey
}
