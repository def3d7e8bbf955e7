/** Watches a cluster during an operation: which machines are down, and whether writes succeed. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'

/** The results. */
export interface Watched {
  /** Rounds in which a write succeeded, and in which none did: rejected or timed out. */
  readonly writes: number
  readonly failedWrites: number
  /** The longest time without a successful write to any control plane. */
  readonly longestGapMs: number
  /** Errors of API servers without etcd quorum, while no write succeeded. */
  readonly lostQuorum: readonly string[]
  /** The highest number of control planes that were down at the same time. */
  readonly mostDown: number
  readonly samples: number
}

const lookEveryMs = 1000
// Less often: each write is work for busy emulated machines.
const writeEveryMs = 2000
const writeWithinMs = 20_000

/** Probes every control plane and, concurrently, writes through each that answers, until it is stopped. */
export function watch(cluster: Cluster): { stop(): Promise<Watched> } {
  const addresses = cluster.controlPlanes.map(({ address }) => address)
  const write = openWriter(cluster)
  const lostQuorum: string[] = []
  let [writes, failedWrites, longestGapMs, mostDown, samples] = [0, 0, 0, 0, 0]
  let reachable: readonly string[] = addresses
  let lastWrite = performance.now()
  let running = true

  const look = async (): Promise<void> => {
    const up = await Promise.all(addresses.map(answers))
    reachable = addresses.filter((_, index) => up[index])
    mostDown = Math.max(mostDown, addresses.length - reachable.length)
    samples++
  }
  const noteGap = (): void => {
    longestGapMs = Math.max(longestGapMs, performance.now() - lastWrite)
  }
  // An API server that hangs with an earlier write gets no other one.
  const busy = new Set<string>()
  const writeOnce = async (): Promise<void> => {
    const free = reachable.filter((address) => !busy.has(address))
    const failures: string[] = []
    const tries = free.map(async (address) => {
      busy.add(address)
      const failure = await write(address, String(writes + failedWrites))
      busy.delete(address)
      if (failure === undefined) return
      failures.push(failure)
      throw new Error(failure)
    })
    if (await succeedsAny(tries)) {
      noteGap()
      lastWrite = performance.now()
      writes++
    } else if (free.length > 0) {
      failedWrites++
      lostQuorum.push(...failures.filter((text) => /etcdserver|no leader|quorum/.test(text)))
    }
  }
  const repeat = async (work: () => Promise<void>, everyMs: number): Promise<void> => {
    while (running) {
      await work()
      await sleep(everyMs)
    }
  }
  const loops = Promise.all([repeat(look, lookEveryMs), repeat(writeOnce, writeEveryMs)])
  return {
    async stop() {
      running = false
      await loops
      noteGap()
      return { writes, failedWrites, longestGapMs, lostQuorum, mostDown, samples }
    },
  }
}

async function succeedsAny(tries: readonly Promise<void>[]): Promise<boolean> {
  return Promise.any(tries).then(
    () => true,
    () => false,
  )
}

function answers(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 50_000, timeout: 5000 })
    const end = (there: boolean): void => {
      socket.destroy()
      resolve(there)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

/** Writes one object through one API server; the reason if it is rejected or there is no answer. */
function openWriter(
  cluster: Cluster,
): (host: string, value: string) => Promise<string | undefined> {
  const text = readFileSync(generatedFiles(cluster).path('kubeconfig'), 'utf8')
  const { clusters, users } = parse(text) as {
    clusters: { cluster: { 'certificate-authority-data': string } }[]
    users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[]
  }
  const decode = (data = ''): Buffer => Buffer.from(data, 'base64')
  const agent = new Agent({
    keepAlive: true,
    ca: decode(clusters[0]?.cluster['certificate-authority-data']),
    cert: decode(users[0]?.user['client-certificate-data']),
    key: decode(users[0]?.user['client-key-data']),
  })
  return (host, value) =>
    new Promise((resolve) => {
      const body = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        // One for each API server, so that they do not conflict.
        metadata: { name: `hammer-${host}` },
        data: { value },
      }
      const path = `/api/v1/namespaces/default/configmaps/${body.metadata.name}`
      const url = `https://${host}:6443${path}?fieldManager=hammer&force=true`
      const patch = request(url, {
        method: 'PATCH',
        agent,
        headers: { 'content-type': 'application/apply-patch+yaml' },
        signal: AbortSignal.timeout(writeWithinMs),
      })
      patch.once('error', ({ message }) => resolve(message))
      patch.once('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', ({ message }) => resolve(message))
        response.once('end', () =>
          resolve((response.statusCode ?? 0) < 300 ? undefined : Buffer.concat(chunks).toString()),
        )
      })
      patch.end(JSON.stringify(body))
    })
}
