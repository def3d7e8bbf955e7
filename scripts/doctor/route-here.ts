/** Observes this machine's way to the machines: its addresses, its route, and whether they answer. */
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { local, readOwnBootId } from '@talosmith/core'

/** An address of this machine. */
export interface OwnAddress {
  readonly name: string
  /** With its prefix length. */
  readonly address: string
  readonly mac: string
}

/** The route to an address; `none`: there is none, `own`: it is this machine's. */
export type Route =
  | { readonly kind: 'none' | 'own' }
  | {
      readonly kind: 'route'
      /** Whether no better route than the default one leads there. */
      readonly isDefault: boolean
      /** Undefined: the address is in a network of the interface, or beyond a tunnel. */
      readonly gateway: string | undefined
      readonly device: string | undefined
    }

/** What this machine knows of the way to the machines. */
export interface Here {
  readonly isMac: boolean
  /** Identifies this machine since it was started; empty: unknown. */
  readonly bootId: string
  readonly addresses: readonly OwnAddress[]
  /** Undefined: it could not be found out. */
  readonly route: Route | undefined
}

/** Observes the addresses of this machine and its route to `address`, which no machine needs to have yet. */
export async function observeHere(address: string): Promise<Here> {
  // macOS has no ip; fibmatch: the route as it is in the table, not as it is used for this address.
  const { stdout } = await local.$({ nothrow: true, timeoutMs: 5000, env: { LC_ALL: 'C' } })`
if [ "$(uname)" = Darwin ]; then echo Darwin; route -n get ${address} 2>&1
else echo Linux; ip -4 -o route get fibmatch ${address} 2>&1; fi`
  const [system, ...lines] = stdout.split('\n')
  const text = lines.join('\n')
  const isMac = system === 'Darwin'
  return {
    isMac,
    bootId: await readOwnBootId(),
    addresses: ownAddresses(),
    route: isMac ? readMacRoute(text) : readRoute(text),
  }
}

function ownAddresses(): OwnAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
    all.flatMap(({ family, cidr, mac }) =>
      family === 'IPv4' && cidr !== null ? [{ name, address: cidr, mac }] : [],
    ),
  )
}

/** Reads `ip -4 -o route get fibmatch`; older versions of ip do not know fibmatch. Pure. */
export function readRoute(text: string): Route | undefined {
  // The kernel's ENETUNREACH, and EHOSTUNREACH of a route of type unreachable.
  if (/^RTNETLINK answers: (?:Network is unreachable|No route to host)/m.test(text))
    return { kind: 'none' }
  if (/^local /m.test(text)) return { kind: 'own' }
  const line = /^(?:unicast )?(default|\d[\d./]*)(?= )(.*)/m.exec(text)
  if (line === null) return undefined
  const [, target, rest = ''] = line
  return {
    kind: 'route',
    isDefault: target === 'default',
    gateway: / via ([\d.]+)/.exec(rest)?.[1],
    device: / dev (\S+)/.exec(rest)?.[1],
  }
}

/** Reads `route -n get` of macOS, as route(8) prints it. Pure. */
export function readMacRoute(text: string): Route | undefined {
  if (/not in table|Network is unreachable/.test(text)) return { kind: 'none' }
  const value = (key: string): string | undefined =>
    new RegExp(`^ *${key}: (\\S+)`, 'm').exec(text)?.[1]
  const [target, device] = [value('destination'), value('interface')]
  if (target === undefined || device === undefined) return undefined
  if (/^lo\d/.test(device)) return { kind: 'own' }
  const gateway = value('gateway')
  return {
    kind: 'route',
    isDefault: target === 'default',
    // Of a neighbor it may be a MAC address, or the interface.
    gateway: /^\d+(?:\.\d+){3}$/.test(gateway ?? '') ? gateway : undefined,
    device,
  }
}

const connectMs = 1500

/** Whether a port of an address can be connected to from here; with `begin`, whether it then sends this. */
export function answersHere(address: string, port: number, begin = ''): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: connectMs })
    const end = (answers: boolean): void => {
      socket.destroy()
      resolve(answers)
    }
    socket
      .on('connect', () => begin === '' && end(true))
      .on('data', (data) => end(data.toString('latin1').startsWith(begin)))
      .on('timeout', () => end(false))
      .on('error', () => end(false))
      .on('close', () => end(false))
  })
}
