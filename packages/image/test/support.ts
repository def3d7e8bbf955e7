/** An image server, a pool and a cluster for tests of transfers. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostFiles, local, silentLog, type Cluster, type Host } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import type { TransferTimeouts } from '../src/timeouts.ts'
import { transferImage } from '../src/transfer.ts'

/** A raw image like those of the factory: a boot sector, mostly holes, some incompressible bytes. */
export function rawImage(bytes = 8 * 2 ** 20): Buffer {
  const raw = Buffer.alloc(bytes)
  raw.write('\x55\xaa', 510, 'latin1')
  randomBytes(2 ** 20).copy(raw, 2 ** 20)
  return raw
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const compressors = {
  zst: ['zstd', '-q'],
  xz: ['xz', '-0'],
  gz: ['gzip', '-1'],
  none: ['cat'],
} as const

/** An image server with configurable errors, a pool, and the cluster that uses both. */
export interface Rig {
  readonly root: string
  readonly path: string
  readonly folder: string
  readonly requests: string[]
  readonly raw: Buffer
  cluster: Cluster
  body: Buffer
  etag: string | undefined
  /** Whether it supports Range requests. */
  hasRanges: boolean
  hasLength: boolean
  /** Cuts the connection after this many bytes of a response; undefined: never. */
  cutAfter: number | undefined
  /** Sends this many bytes, then nothing more, and keeps the connection open. */
  stallAfter: number | undefined
  /** Delay of the response headers, in milliseconds. */
  delayMs: number
  /** Bytes per second; undefined: unlimited. */
  rate: number | undefined
  /** Statuses of the first responses. */
  statuses: number[]
  /** The response to `.sha256`: a status, or the body of a 200. */
  checksum: number | string
  settings(overrides: Readonly<Record<string, string>>): void
  compress(raw: Buffer, compression?: keyof typeof compressors): Promise<Buffer>
  transfer(host?: Host): Promise<void>
  close(): void
}

/** Short timeouts for tests. */
export const shortTimeouts: TransferTimeouts = { firstByte: 5, idle: 1, retryDelay: 0.02 }

/** Starts the server and creates the pool in a temporary folder, which `close` removes. */
export async function startRig(compression: keyof typeof compressors = 'zst'): Promise<Rig> {
  const root = temporaryFolder('image')
  mkdirSync(join(root, 'pool'))
  const server = createServer((request, response) => void answer(rig, request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const settings = {
    TALOS_FACTORY_URL: `http://127.0.0.1:${port}`,
    IMAGE_COMPRESSION: compression as string,
  }
  const cluster = testCluster(settings, root)
  const path = hostFiles(cluster, join(root, 'pool')).image
  const raw = rawImage()
  const rig: Rig = {
    root,
    path,
    folder: `${path}.partial`,
    cluster,
    raw,
    requests: [],
    body: Buffer.alloc(0),
    etag: '"first"',
    hasRanges: true,
    hasLength: true,
    cutAfter: undefined,
    stallAfter: undefined,
    delayMs: 0,
    rate: undefined,
    statuses: [],
    checksum: 402,
    settings(overrides) {
      rig.cluster = testCluster({ ...settings, ...overrides }, root)
    },
    async compress(bytes, how = compression) {
      const [from, to] = [join(root, 'bytes'), join(root, 'compressed')]
      writeFileSync(from, bytes)
      await local.$`${compressors[how]} < ${from} > ${to}`
      return readFileSync(to)
    },
    transfer: (host = local) =>
      transferImage(path, {
        cluster: rig.cluster,
        host,
        log: silentLog,
        signal: new AbortController().signal,
        progress: () => undefined,
        timeouts: shortTimeouts,
      }),
    close() {
      server.closeAllConnections()
      server.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
  rig.body = await rig.compress(raw)
  return rig
}

async function answer(
  rig: Rig,
  { url = '', headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  rig.requests.push(`${url.split('/').at(-1)} ${headers.range ?? ''}`.trim())
  if (url.endsWith('.sha256')) {
    if (typeof rig.checksum === 'string') return void response.end(rig.checksum)
    return void response.writeHead(rig.checksum).end('enterprise not enabled')
  }
  const status = rig.statuses.shift()
  if (status !== undefined) return void response.writeHead(status).end(`status ${status}`)
  if (rig.delayMs > 0) await sleep(rig.delayMs, undefined, { ref: false })
  const [, first] = (rig.hasRanges && /^bytes=(\d+)-$/.exec(headers.range ?? '')) || []
  const start = Number(first ?? 0)
  if (start > 0 && start >= rig.body.length) return void response.writeHead(416).end()
  const body = rig.body.subarray(start)
  response.writeHead(first === undefined ? 200 : 206, {
    ...(rig.hasLength ? { 'content-length': body.length } : {}),
    ...(rig.etag === undefined ? {} : { etag: rig.etag }),
    ...(first === undefined
      ? {}
      : { 'content-range': `bytes ${start}-${rig.body.length - 1}/${rig.body.length}` }),
  })
  const limit = rig.cutAfter ?? rig.stallAfter
  if (rig.rate !== undefined) return drip(response, body, rig.rate)
  if (limit === undefined || limit >= body.length) return void response.end(body)
  response.write(body.subarray(0, limit), () => {
    // Delayed, because the reset would discard bytes that are not sent yet.
    if (rig.cutAfter !== undefined) setTimeout(() => response.destroy(), 50)
  })
}

async function drip(response: ServerResponse, body: Buffer, rate: number): Promise<void> {
  const piece = Math.ceil(rate / 20)
  for (let at = 0; at < body.length && !response.destroyed; at += piece) {
    response.write(body.subarray(at, at + piece))
    await sleep(50)
  }
  response.end()
}
