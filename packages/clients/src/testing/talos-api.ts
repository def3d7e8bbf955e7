/** A fake Talos API for tests of the handshake. */
import { createServer, type Server } from 'node:tls'
import { apiPort } from '@talosmith/clients/talos'
import type { Pair } from './pki.ts'

/** A machine's Talos API, as far as a handshake shows: waiting for a config, or with one of a CA. */
export type Shown = { readonly waits: Pair } | { readonly has: Pair; readonly ca: string }

/** Listens on an address at Talos' own port until it is stopped. */
export async function showMachine(
  address: string,
  shown: Shown,
): Promise<{ stop(): Promise<void> }> {
  const server: Server =
    'waits' in shown
      ? createServer({ ...shown.waits, ALPNProtocols: ['h2'] }, (socket) => {
          socket.on('error', () => undefined)
          // As a gRPC server does: it sends its settings before any request.
          socket.write(Buffer.from('00000604000000000000050000', 'hex'))
        })
      : createServer({
          ...shown.has,
          ca: shown.ca,
          ALPNProtocols: ['h2'],
          requestCert: true,
          rejectUnauthorized: true,
        })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(apiPort, address, resolve)
  })
  return { stop: () => new Promise((resolve) => server.close(() => resolve())) }
}
