/** A TCP relay on this machine that delays each direction and counts round trips. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface SlowLink {
  readonly port: number
  /** Bytes that went to the target after bytes had come from it, in all connections: a wait for an answer each. */
  roundTrips: () => number
  close: () => void
}

/** Listens on `address` and relays to port 22 of `target`; every byte arrives `delayMs` later. */
export async function startSlowLink(
  address: string,
  target: string,
  delayMs: number,
): Promise<SlowLink> {
  let roundTrips = 0
  const pass = (from: Socket, to: Socket, onData: () => void): void => {
    from.on('data', (chunk) => {
      onData()
      setTimeout(() => to.writable && to.write(chunk), delayMs)
    })
    from.on('end', () => setTimeout(() => to.end(), delayMs))
    from.on('error', () => to.destroy())
  }
  const server = createServer({ noDelay: true }, (client) => {
    const host = connect({ port: 22, host: target, noDelay: true })
    let answered = true
    pass(client, host, () => {
      if (answered) roundTrips += 1
      answered = false
    })
    pass(host, client, () => (answered = true))
  })
  await new Promise<void>((listening) => server.listen(0, address, listening))
  return {
    port: (server.address() as AddressInfo).port,
    roundTrips: () => roundTrips,
    close: () => server.close(),
  }
}
