import { chmodSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { testCluster, temporaryFolder } from '@talosmith/core/testing'
import { emptyHost, finishedHost } from '@talosmith/vm/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HostDetails, ObservedHost } from '@talosmith/vm'
import type { CheckedHost, Line } from '../doctor/checked-host.ts'
import { judgeFilter } from '../doctor/judge-filter.ts'
import { judgeReach, type Reach } from '../doctor/judge-reach.ts'
import { observeReach, sshPortOf } from '../doctor/reach.ts'
import {
  answersHere,
  observeHere,
  readMacRoute,
  readRoute,
  type Here,
} from '../doctor/route-here.ts'
import { hostDetails } from './support/host-details.ts'

type Networks = ObservedHost['networks']

const lan = { NETWORK_BRIDGE: '', NETWORK_NAME: 'lan' }
const nat = { NETWORK_BRIDGE: '', NETWORK_NAME: 'default', NETWORK_CIDR: '192.168.122.0/24' }
const pair = 'qemu+ssh://root@kvm1/system,qemu+ssh://root@kvm2/system'
const line: Line = (check, detail, verdict = 'ok', remedy, code) => ({
  ...{ area: 'kvm1', check, verdict, detail, remedy, code },
})
const details: HostDetails = {
  ...hostDetails,
  addresses: ['127.0.0.1/8', '10.0.0.2/24', '192.168.122.1/24', '172.17.0.1/16'],
  macs: ['00:00:00:00:00:00', '52:54:00:aa:00:01', '02:42:ac:11:00:01'],
}
const served = { address: { address: '192.168.122.1', prefixLength: 24 }, bridge: 'virbr0' }
const macvtap: Partial<Networks> = { forward: 'bridge', devices: ['eth0'] }

const eth0 = { name: 'eth0', address: '10.0.0.9/24', mac: '52:54:00:bb:00:01' }
const byDefault = { kind: 'route', isDefault: true, gateway: '10.0.0.1', device: 'eth0' } as const
const linked = { kind: 'route', isDefault: false, gateway: undefined, device: 'eth0' } as const

interface Case {
  readonly settings?: Readonly<Record<string, string>>
  readonly networks?: Partial<Networks>
  readonly here?: Partial<Here>
  readonly reach?: Partial<Reach>
  readonly isProven?: boolean
}

function judged({ settings = { NETWORK_BRIDGE: 'br0' }, ...given }: Case) {
  const cluster = testCluster(settings)
  const base = given.isProven === true ? finishedHost(cluster) : emptyHost(cluster)
  const observed = { ...base, networks: { ...base.networks, ...given.networks } }
  const reach: Reach = {
    here: { isMac: false, bootId: 'two', addresses: [eth0], route: linked, ...given.here },
    ...{ isHost: false, answers: false, hostAnswersInside: false, ...given.reach },
  }
  const host = { observed, details, reach } as unknown as CheckedHost
  const [check, ...others] = judgeReach(cluster, host, line)
  assert.equal(others, [])
  if (check === undefined) throw new Error('no check')
  return check
}

const remote: Case = { settings: nat, networks: { ...served, forward: 'nat' } }
const onHost: Case = { settings: lan, networks: macvtap, reach: { isHost: true } }

const rows: [string, Case, RegExp, RegExp?][] = [
  [
    'no route at all',
    { here: { route: { kind: 'none' }, addresses: [{ ...eth0, address: '172.16.0.9/24' }] } },
    /^fail this machine has no route to 10\.0\.0\.0\/24$/,
    /connect this machine to that network/,
  ],
  [
    'a macvtap network on this machine',
    onHost,
    /^fail this machine is the KVM host, .* only over eth0, .* lan .* macvtap/,
    /bridge that eth0 is a port of; or run Talosmith on another machine/,
  ],
  [
    'a NAT network of another host',
    { ...remote, here: { route: byDefault } },
    /^fail the libvirt network default of root@kvm1 is behind NAT: .* the default one$/,
    /^run Talosmith on root@kvm1.*sshuttle -r root@kvm1 192\.168\.122\.0\/24.*sudo ip route add 192\.168\.122\.0\/24 via 10\.0\.0\.2$/,
  ],
  [
    'an isolated network of another host, from macOS',
    { settings: nat, networks: served, here: { route: byDefault, isMac: true } },
    /^fail .* is isolated: /,
    /sudo route -n add -net 192\.168\.122\.0\/24 10\.0\.0\.2$/,
  ],
  [
    "a NAT network of another host, and this machine's own of the same range",
    {
      ...remote,
      here: {
        route: { ...linked, device: 'virbr0' },
        addresses: [eth0, { ...eth0, name: 'virbr0', address: '192.168.122.1/24' }],
      },
    },
    /^warning virbr0 of this machine has 192\.168\.122\.1, the address of the host in /,
    /virsh net-edit/,
  ],
  [
    'NAT networks of two hosts',
    { ...remote, settings: { ...nat, LIBVIRT_URI: pair } },
    /^fail .* behind NAT on each host of LIBVIRT_URI/,
    /set NETWORK_BRIDGE/,
  ],
  [
    'a NAT network, where the host answers inside',
    { ...remote, here: { route: byDefault }, reach: { hostAnswersInside: true } },
    /^warning .* behind NAT/,
  ],
  [
    'a NAT network beyond a tunnel that may end at the host',
    { ...remote, here: { route: { ...byDefault, gateway: undefined, device: 'wg0' } } },
    /^warning .* behind NAT/,
  ],
  [
    'a NAT network, where the default gateway is the host',
    { ...remote, here: { route: { ...byDefault, gateway: '172.17.0.1' } } },
    /^warning .* behind NAT: libvirt rejects connections from this machine to its machines$/,
  ],
  [
    'a NAT network with a route over the host',
    { ...remote, here: { route: { ...byDefault, isDefault: false, gateway: '10.0.0.2' } } },
    /^warning .* behind NAT/,
  ],
  [
    'a routed network that only a router may know',
    { settings: nat, networks: { ...served, forward: 'route' }, here: { route: byDefault } },
    /^warning .* is the default one: its router must know that network$/,
    /^sudo ip route add 192\.168\.122\.0\/24 via 10\.0\.0\.2; or run Talosmith on/,
  ],
  [
    "a network of this machine's containers",
    {
      settings: { NETWORK_BRIDGE: 'br0', NETWORK_CIDR: '172.17.0.0/16' },
      here: {
        route: { ...linked, device: 'docker0' },
        addresses: [{ ...eth0, name: 'docker0', address: '172.17.0.1/16' }],
      },
    },
    /^warning .* is over docker0 \(172\.17\.0\.1\/16\), a network of its own$/,
  ],
]
for (const [title, given, expected, remedy] of rows)
  test(`${title} is found, with what to do`, () => {
    const { verdict, detail, code, remedy: has } = judged(given)
    assert.match(`${verdict} ${detail}`, expected)
    assert.is(code, 'MACHINES_UNREACHABLE')
    assert.match(has ?? '', remedy ?? /./)
  })

for (const [title, given] of rows)
  test(`${title} never fails for a cluster that has run, and is no warning once machines answer`, () => {
    assert.is(judged({ ...given, isProven: true }).verdict, 'warning')
    assert.is(judged({ ...given, reach: { ...given.reach, answers: true } }).verdict, 'ok')
  })

const fine: [string, Case][] = [
  ['a bridge in the network of this machine', {}],
  ['a bridge behind a router', { here: { route: byDefault } }],
  ['a route that cannot be read', { here: { route: undefined } }],
  ['macvtap on another host', { ...onHost, reach: {} }],
  [
    'macvtap, with another interface',
    { ...onHost, here: { route: { ...linked, device: 'eth1' } } },
  ],
  ['macvtap, over a router', { ...onHost, here: { route: byDefault } }],
  ['a network on a bridge', { ...onHost, networks: { forward: 'bridge', bridge: 'br0' } }],
  ['NAT on this machine', { ...remote, reach: { isHost: true } }],
  [
    "NAT on this machine, over libvirt's bridge",
    { ...remote, reach: { isHost: true }, here: { route: { ...linked, device: 'virbr0' } } },
  ],
  ['a NAT network over a VPN', { ...remote, here: { route: { ...linked, device: 'wg0' } } }],
  [
    'a routed network with a route',
    {
      settings: nat,
      networks: { ...served, forward: 'route' },
      here: { route: { ...byDefault, isDefault: false, gateway: '10.0.0.2' } },
    },
  ],
]
for (const [title, given] of fine)
  test(`${title} is fine`, () => {
    const { verdict, detail } = judged(given)
    assert.is(verdict, 'ok', detail)
  })

test('reads the routes of Linux', () => {
  const read = (text: string) => readRoute(`${text}\n`)
  assert.equal(read('default via 10.0.0.1 dev eth0 proto dhcp'), byDefault)
  assert.equal(read('10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.9'), linked)
  assert.equal(read('default dev wg0 table 51820 scope link'), {
    ...{ kind: 'route', isDefault: true, gateway: undefined, device: 'wg0' },
  })
  assert.equal(read('local 10.0.0.9 dev eth0 table local proto kernel scope host'), { kind: 'own' })
  for (const error of ['Network is unreachable', 'No route to host'])
    assert.equal(read(`RTNETLINK answers: ${error}`), { kind: 'none' })
  // Without ip, or with one that does not know fibmatch.
  for (const error of ['/bin/sh: 1: ip: not found', 'Error: any valid prefix is expected', ''])
    assert.is(read(error), undefined)
})

test('reads the routes of macOS', () => {
  const mac = (fields: Readonly<Record<string, string>>): string =>
    Object.entries({ 'route to': '10.0.0.70', ...fields })
      .map(([key, value]) => `${key.padStart(11)}: ${value}`)
      .join('\n')
  const away = { destination: 'default', mask: 'default', gateway: '10.0.0.1', interface: 'en0' }
  assert.equal(readMacRoute(mac(away)), { ...byDefault, device: 'en0' })
  const near = { destination: '10.0.0.0', mask: '255.255.255.0', interface: 'en0' }
  assert.equal(readMacRoute(mac(near)), { ...linked, device: 'en0' })
  assert.equal(readMacRoute(mac({ destination: '10.0.0.70', interface: 'lo0' })), { kind: 'own' })
  assert.equal(readMacRoute('route: writing to routing socket: not in table'), { kind: 'none' })
  assert.is(readMacRoute('sh: route: command not found'), undefined)
})

test('asks route on macOS, which has no ip', async () => {
  const bin = temporaryFolder('mac')
  const put = (name: string, text: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  put('uname', 'echo Darwin')
  put('ip', 'echo "ip: not found" >&2; exit 127')
  put(
    'route',
    `[ "$*" = "-n get 10.0.0.70" ] && printf 'destination: default\\n  interface: en0\\n'`,
  )
  const path = process.env['PATH']
  process.env['PATH'] = `${bin}:${path}`
  try {
    const { isMac, route } = await observeHere('10.0.0.70')
    assert.ok(isMac)
    assert.equal(route, { ...byDefault, gateway: undefined, device: 'en0' })
  } finally {
    process.env['PATH'] = path
  }
})

test('an address of this machine is its own, and has no gateway', async () => {
  const { route, addresses } = await observeHere('127.0.0.1')
  assert.ok(addresses.length > 0)
  assert.ok(route === undefined || route.kind === 'own', JSON.stringify(route))
})

async function listening(fn: (port: number) => Promise<void>, greeting = ''): Promise<void> {
  const server: Server = createServer((socket) => socket.on('error', () => undefined).end(greeting))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  try {
    if (address !== null && typeof address === 'object') await fn(address.port)
  } finally {
    server.close()
  }
}

test('what answers is told from what only accepts connections, as a tunnel does for any address', async () => {
  await listening(async (port) => {
    assert.ok(await answersHere('127.0.0.1', port))
    assert.not(await answersHere('127.0.0.1', port, 'SSH-'))
  })
  await listening(async (port) => {
    assert.ok(await answersHere('127.0.0.1', port, 'SSH-'))
  }, 'SSH-2.0-OpenSSH_9.2\r\n')
  assert.not(await answersHere('127.0.0.1', 1))
})

test('a tunnel is looked for at the port of LIBVIRT_URI', () => {
  assert.is(sshPortOf('qemu+ssh://root@kvm1:2222/system?keyfile=/a:1/b'), 2222)
  assert.is(sshPortOf('qemu+ssh://root@[2001:db8::1]:2222/system'), 2222)
  assert.is(sshPortOf('qemu+ssh://root@kvm1/system?keyfile=/a:1/b'), 22)
  assert.is(sshPortOf(), 22)
})

test('a host over SSH that has an interface of this machine is this machine', async () => {
  const cluster = testCluster({ NETWORK_BRIDGE: 'br0' })
  const isHostWith = async (mac: string, bootId = 'one'): Promise<boolean> => {
    const here: Here = { isMac: false, bootId, addresses: [{ ...eth0, mac }], route: linked }
    const own = emptyHost(cluster)
    const facts = { own, details, nodes: cluster.nodes, here }
    return (await observeReach(cluster, { isLocal: false }, facts)).isHost
  }
  assert.ok(await isHostWith('52:54:00:AA:00:01'))
  for (const mac of ['00:00:00:00:00:00', '02:42:ac:11:00:01', eth0.mac])
    assert.not(await isHostWith(mac), mac)
  // A clone, and a program that could not read its own boot.
  for (const bootId of ['two', '']) assert.not(await isHostWith('52:54:00:AA:00:01', bootId))
})

/** What `iptables -S` prints after Docker was installed. */
const docker = [
  '-N DOCKER-USER',
  '-A FORWARD -j DOCKER-USER',
  '-A FORWARD -j DOCKER-FORWARD',
  '-A DOCKER ! -i docker0 -o docker0 -p tcp -m tcp -d 172.17.0.2/32 --dport 80 -j ACCEPT',
  '-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  '-A DOCKER-FORWARD -i docker0 -j ACCEPT',
]
const forwards = [
  '-A FORWARD -j LIBVIRT_FWO',
  '-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT',
]

function filtered(
  given: Case,
  rules: readonly string[],
  { policy = 'DROP', seesBridged = true }: { policy?: string; seesBridged?: boolean } = {},
): string {
  const cluster = testCluster(given.settings ?? { NETWORK_BRIDGE: 'br0' })
  const base = emptyHost(cluster)
  const observed = { ...base, networks: { ...base.networks, ...given.networks } }
  const filter = { seesBridged, policy, rules }
  const host = { observed, details: { ...details, filter } } as unknown as CheckedHost
  const { verdict, code = '', remedy = '' } = judgeFilter(cluster, host, line)
  return `${verdict} ${code} ${remedy}`
}

test("Docker's policy drops bridged traffic, and what a NAT network sends through nftables", () => {
  const bridged = filtered({}, docker)
  assert.match(bridged, /^warning TRAFFIC_DROPPED iptables -I DOCKER-USER -i br0 -o br0 -j ACCEPT,/)
  const sent = filtered(remote, docker, { seesBridged: false })
  assert.match(sent, /^warning TRAFFIC_DROPPED iptables -I DOCKER-USER -i virbr0 -j ACCEPT;/)
  assert.match(filtered({}, docker.slice(1)), / iptables -I FORWARD -i br0 -o br0 /)
})

test('traffic that is not filtered, or that a rule accepts, is no warning', () => {
  const rules = [
    '-A DOCKER-USER -i br0 -o br0 -j ACCEPT',
    '-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT',
    '-A FORWARD -i br+ -j ACCEPT',
    '-A FORWARD -s 10.0.0.0/16 -j ACCEPT',
    '-A FORWARD -j ACCEPT',
  ]
  for (const rule of rules) assert.match(filtered({}, [...docker, rule]), /^ok /, rule)
  for (const rule of [
    '-A INPUT -j ACCEPT',
    '-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT',
    '-A FORWARD -s 10.9.0.0/16 -j ACCEPT',
    '-A FORWARD -i br1 -o br1 -j ACCEPT',
  ])
    assert.match(filtered({}, [...docker, rule]), /^warning /, rule)
  assert.match(filtered({}, docker, { seesBridged: false }), /^ok /)
  assert.match(filtered({}, docker, { policy: 'ACCEPT' }), /^ok /)
  assert.match(filtered(remote, [...docker, ...forwards]), /^ok /)
  assert.match(filtered({ settings: nat, networks: served }, docker), /^ok /)
  assert.match(filtered({ settings: lan, networks: macvtap }, docker), /^ok /)
})

test.run()
