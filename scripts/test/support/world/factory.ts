/** The Image Factory of the simulated world: versions, schematics and installers. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeChange, currentRun } from './runs.ts'

export interface Factory {
  readonly url: string
  /** The schematics that were posted; the world sets it. */
  schematics: () => string[]
  stop(): void
}

/** Starts it on a free port. Its answers are those of image-factory, internal/frontend/http. */
export async function startFactory(schematic: () => string): Promise<Factory> {
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    const send = (status: number, body: string): void => void response.writeHead(status).end(body)
    request.resume()
    if (path === '/versions') return send(200, '["v1.13.8","v1.13.9"]')
    if (path.startsWith('/v2/')) return send(200, '{}')
    if (path.startsWith('/schematics/'))
      return send(factory.schematics().includes(path.slice(12)) ? 200 : 404, '')
    if (path !== '/schematics') return send(404, 'not found')
    const run = currentRun()
    if (run === undefined) return undefined
    void beforeChange('post the schematic', run).then(() => {
      factory.schematics().push(schematic())
      send(201, JSON.stringify({ id: schematic() }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const factory: Factory = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    schematics: () => [],
    stop() {
      server.close()
      server.closeAllConnections()
    },
  }
  return factory
}
