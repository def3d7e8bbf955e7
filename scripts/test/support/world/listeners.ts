/** What listens at the addresses of simulated machines: the Talos API as far as a handshake shows, and Kubernetes. */
import { createServer, type Server } from 'node:https'
import type { Machine } from '@talosmith/bootstrap/testing'
import { createCa, showMachine } from '@talosmith/clients/testing'
import { caOf, certificateOf, type ConfigFacts } from './authorities.ts'

/** What an API server answers. */
export interface KubernetesAnswer {
  readonly status: number
  readonly text: string
}

/** What the listeners show. */
export interface Shown {
  readonly machines: readonly Machine[]
  readonly uid: string | undefined
  isUp(machine: Machine): boolean
  authorityOf(machine: Machine): ConfigFacts | undefined
  askKubernetes(
    server: string,
    method: string,
    url: string,
    body: object,
  ): Promise<KubernetesAnswer>
}

interface Listener {
  readonly shows: string
  stop(): Promise<unknown>
}

// In maintenance mode a machine signs its certificate itself (internal/app/maintenance/server.go).
const stranger = createCa('/O=maintenance').issue('/O=maintenance')

/** The listeners of all machines. */
export class Listeners {
  private readonly current = new Map<string, Listener>()
  private readonly world: Shown
  /** One change after the other. */
  private last: Promise<void> = Promise.resolve()

  constructor(world: Shown) {
    this.world = world
  }

  /** Starts and stops what the state of the machines asks for. */
  follow(): Promise<void> {
    this.last = this.last.then(async () => {
      for (const machine of this.world.machines) {
        await this.followTalos(machine)
        if (machine.node.role === 'controlplane') await this.followKubernetes(machine)
      }
    })
    return this.last
  }

  async stop(): Promise<void> {
    for (const listener of this.current.values()) await listener.stop()
    this.current.clear()
  }

  private async followTalos(machine: Machine): Promise<void> {
    const { address } = machine.node
    const has = this.world.authorityOf(machine)
    const shows = has?.talosCa ?? (this.world.isUp(machine) ? 'waits' : 'off')
    await this.show(`${address}:50000`, shows, async () => {
      if (has === undefined) return showMachine(address, { waits: stranger })
      const ca = caOf(has.talosCa)
      return showMachine(address, {
        has: certificateOf(ca, `/CN=${machine.node.name}`, address),
        ca: ca.cert,
      })
    })
  }

  private async followKubernetes(machine: Machine): Promise<void> {
    const { address } = machine.node
    const has = this.world.authorityOf(machine)
    const shows = has === undefined || this.world.uid === undefined ? 'off' : has.kubernetesCa
    await this.show(`${address}:6443`, shows, async () => {
      const ca = caOf(shows)
      return this.serve(address, {
        ...certificateOf(ca, '/CN=kube-apiserver', address),
        ca: ca.cert,
      })
    })
  }

  private async show(at: string, shows: string, start: () => Promise<Omit<Listener, 'shows'>>) {
    const current = this.current.get(at)
    if ((current?.shows ?? 'off') === shows) return
    await current?.stop()
    this.current.delete(at)
    if (shows !== 'off') this.current.set(at, { shows, ...(await start()) })
  }

  private async serve(
    address: string,
    tls: { readonly cert: string; readonly key: string; readonly ca: string },
  ): Promise<Omit<Listener, 'shows'>> {
    const server: Server = createServer({ ...tls, requestCert: true }, (request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        const text = Buffer.concat(parts).toString()
        const body = text === '' ? {} : (JSON.parse(text) as object)
        const { method = '', url = '' } = request
        void this.world
          .askKubernetes(`https://${address}:6443`, method, url, body)
          .then((answer) =>
            response
              .writeHead(answer.status, { 'content-type': 'application/json' })
              .end(answer.text),
          )
      })
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(6443, address, resolve)
    })
    return {
      stop: () =>
        new Promise((resolve) => {
          server.close(resolve)
          server.closeAllConnections()
        }),
    }
  }
}
