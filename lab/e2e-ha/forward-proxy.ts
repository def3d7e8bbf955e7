/** An HTTP proxy on this machine: it knows a name that no name server knows, and counts what passes. */
import { createServer, request, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'

export interface ForwardProxy {
  readonly url: string
  /** `METHOD target` of each request. */
  readonly passed: readonly string[]
  close: () => void
}

/** Listens on `address`; a request for a host in `names` goes to the address that stands there. */
export async function startProxy(
  address: string,
  names: Readonly<Record<string, string>>,
): Promise<ForwardProxy> {
  const passed: string[] = []
  const resolve = (host: string): string => names[host] ?? host
  const server = createServer((from, answer) => {
    const target = new URL(from.url ?? '')
    passed.push(`${from.method} ${target.href}`)
    const to = request(
      {
        host: resolve(target.hostname),
        port: target.port === '' ? 80 : Number(target.port),
        path: target.pathname + target.search,
        method: from.method,
        headers: from.headers,
      },
      (response: IncomingMessage) => {
        answer.writeHead(response.statusCode ?? 502, response.headers)
        response.pipe(answer)
      },
    )
    to.on('error', () => answer.destroy())
    from.pipe(to)
  })
  server.on('connect', (from: IncomingMessage, client, head: Buffer) => {
    const { hostname, port } = new URL(`http://${from.url ?? ''}`)
    passed.push(`CONNECT ${from.url}`)
    const target = connect(port === '' ? 80 : Number(port), resolve(hostname), () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.write(head)
      target.pipe(client)
      client.pipe(target)
    })
    for (const end of [target, client])
      end.on('error', () => {
        target.destroy()
        client.destroy()
      })
  })
  await new Promise<void>((listening) => server.listen(0, address, listening))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${address}:${port}`,
    passed,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
