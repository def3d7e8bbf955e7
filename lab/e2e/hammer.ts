/** Watches a cluster while something is done to it: who is down, and whether writes get through. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'

/** What was seen. */
export interface Watched {
  readonly writes: number
  /** Answers of API servers that reach no etcd with a quorum. */
  readonly lostQuorum: readonly string[]
  /** The most control planes that were away at the same time. */
  readonly mostAway: number
  readonly samples: number
}

const everyMs = 1000

/** Samples until it is stopped: one look at every control plane, one write through whichever answers. */
export function watch(cluster: Cluster): { stop(): Promise<Watched> } {
  const write = openWriter(cluster)
  const lostQuorum: string[] = []
  let [writes, mostAway, samples] = [0, 0, 0]
  let running = true
  const loop = (async () => {
    while (running) {
      const up = await Promise.all(cluster.controlPlanes.map(({ address }) => answers(address)))
      samples++
      mostAway = Math.max(mostAway, up.filter((there) => !there).length)
      for (const [index, { address }] of cluster.controlPlanes.entries()) {
        if (up[index] !== true) continue
        const failure = await write(address, String(samples))
        if (failure === undefined) {
          writes++
          break
        }
        if (/etcdserver|no leader|quorum/.test(failure)) lostQuorum.push(failure)
      }
      await sleep(everyMs)
    }
  })()
  return {
    async stop() {
      running = false
      await loop
      return { writes, lostQuorum, mostAway, samples }
    },
  }
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

/** Writes one object through one API server; the reason when it is refused or nobody answers. */
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
  const path = '/api/v1/namespaces/default/configmaps/hammer?fieldManager=hammer&force=true'
  return (host, value) =>
    new Promise((resolve) => {
      const body = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'hammer' },
        data: { value },
      }
      const asked = request(`https://${host}:6443${path}`, {
        method: 'PATCH',
        agent,
        headers: { 'content-type': 'application/apply-patch+yaml' },
        signal: AbortSignal.timeout(20_000),
      })
      asked.once('error', ({ message }) => resolve(message))
      asked.once('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', ({ message }) => resolve(message))
        response.once('end', () =>
          resolve((response.statusCode ?? 0) < 300 ? undefined : Buffer.concat(chunks).toString()),
        )
      })
      asked.end(JSON.stringify(body))
    })
}
