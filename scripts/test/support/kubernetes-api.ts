/** A fake Kubernetes API over HTTPS: a version, a StorageClass as long as its file exists, empty lists. */
import { existsSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createCa, renderKubeconfig } from '@talosmith/clients/testing'

const ca = createCa('/O=kubernetes')
const certificate = ca.issue('/CN=kube-apiserver')
const admin = ca.issue('/O=system:masters/CN=admin')

export interface KubernetesApi {
  readonly kubeconfig: string
  /** Whether it drops every connection. */
  isDown: boolean
  stop(): void
}

/** Starts the API; `storageClass` is the file that stands for the StorageClass. */
export async function startKubernetesApi(storageClass: string): Promise<KubernetesApi> {
  const server: Server = createServer(
    { ...certificate, ca: ca.cert, requestCert: true },
    ({ method = '', url = '', socket }, response) => {
      if (api.isDown) return void socket.destroy()
      const answer = answerTo(method, url.split('?')[0] ?? '', storageClass)
      response
        .writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(answer ?? notFound))
    },
  )
  server.on('connection', (socket) => api.isDown && socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const api: KubernetesApi = {
    kubeconfig: renderKubeconfig(`https://127.0.0.1:${port}`, ca.cert, admin),
    isDown: false,
    stop() {
      server.close()
      server.closeAllConnections()
    },
  }
  return api
}

const notFound = { kind: 'Status', code: 404, reason: 'NotFound', message: 'not found' }

function answerTo(method: string, path: string, storageClass: string): object | undefined {
  if (path === '/version') return {}
  if (/\/(?:secrets|persistentvolumes|namespaces)$/.test(path)) return { items: [] }
  if (path !== '/apis/storage.k8s.io/v1/storageclasses/nfs-appdata') return undefined
  if (!existsSync(storageClass)) return undefined
  if (method === 'DELETE') rmSync(storageClass)
  const labels = { 'app.kubernetes.io/managed-by': 'talosmith' }
  return { kind: 'StorageClass', metadata: { name: 'nfs-appdata', labels } }
}
