/** A TCP relay on this machine to the lab's sshd: it can delay what passes, and counts round trips. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface SlowLink {
  readonly port: number
  /** How much later each byte arrives, in milliseconds; 0 at first. */
  delayMs: number
  /** Bytes that went to the target after bytes had come from it, in all connections: a wait for an answer each. */
  roundTrips: number
  close: () => void
}

/** Listens on `address` and relays to port 22 of `target`. */
export async function startSlowLink(address: string, target: string): Promise<SlowLink> {
  const pass = (from: Socket, to: Socket, onData: () => void): void => {
    const later = (act: () => void): void => void setTimeout(act, link.delayMs)
    from.on('data', (chunk) => {
      onData()
      later(() => to.writable && to.write(chunk))
    })
    from.on('end', () => later(() => to.end()))
    from.on('error', () => to.destroy())
  }
  const server = createServer({ noDelay: true }, (client) => {
    const host = connect({ port: 22, host: target, noDelay: true })
    let isAnswered = true
    pass(client, host, () => {
      if (isAnswered) link.roundTrips += 1
      isAnswered = false
    })
    pass(host, client, () => (isAnswered = true))
  })
  await new Promise<void>((listening) => server.listen(0, address, listening))
  const link: SlowLink = {
    port: (server.address() as AddressInfo).port,
    delayMs: 0,
    roundTrips: 0,
    close: () => server.close(),
  }
  return link
}
