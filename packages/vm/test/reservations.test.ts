import { CommandFailed, silentLog } from '@talosmith/core'
import { problemOf, recordingHost, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyVmChange } from '../src/apply.ts'
import { findProblems } from '../src/check.ts'
import { readNetwork } from '../src/libvirt-network.ts'
import type { ObservedHost } from '../src/observe.ts'
import { planCreate } from '../src/plan-create.ts'
import { planDestroy } from '../src/plan-destroy.ts'
import type { VmChange } from '../src/vm-change.ts'
import { domainFor, emptyHost, finishedHost, firstOf } from './observed-hosts.ts'

const settings = {
  NETWORK_BRIDGE: '',
  NETWORK_NAME: 'default',
  NETWORK_CIDR: '192.168.122.0/24',
  MAC_PREFIX: '52:54:00:0A:0b',
  WORKER_COUNT: '1',
}
const cluster = testCluster(settings)
const stock = "<range start='192.168.122.2' end='192.168.122.254'/>"
const cp1 = "<host mac='52:54:00:0a:0b:01' name='home-cp1' ip='192.168.122.70'/>"
const w1 = "<host mac='52:54:00:0a:0b:41' name='home-w1' ip='192.168.122.80'/>"
const vip = "<host mac='52:54:00:0a:0b:00' name='home-vip' ip='192.168.122.60'/>"

interface Has {
  readonly live?: string
  readonly config?: string
  readonly leases?: string
  readonly range?: string
}

/** libvirt's stock network with these `host` elements, on a host without machines. */
function stockNetwork(
  { live = '', config = live, leases = '', range = stock }: Has = {},
  host: ObservedHost = emptyHost(cluster),
): ObservedHost {
  const xml = (hosts: string): string =>
    `<network><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>${range}${hosts}</dhcp></ip></network>`
  const { all, active } = host.networks
  const isActive = active.includes('default')
  return {
    ...host,
    networks: { all, active, ...readNetwork([xml(live), xml(config), leases], { isActive }) },
  }
}

const ofReservations = (changes: readonly VmChange[]): VmChange[] =>
  changes.filter(({ kind }) => kind === 'reserve-address' || kind === 'release-address')

/** The virsh commands of the planned changes of reservations. */
async function commandsOf(
  changes: readonly VmChange[],
  observed: ObservedHost,
  desired = cluster,
): Promise<string[]> {
  const host = recordingHost(() => '')
  for (const change of ofReservations(changes))
    await applyVmChange(change, {
      ...{ cluster: desired, hosts: [host], observedHosts: [observed], log: silentLog },
    })
  return host.commands.map((command) =>
    command.replace(/^virsh -q -c qemu:\/\/\/system /, '').replaceAll(`'\\''`, "'"),
  )
}
const update = (command: string, element: string, flags = '--live --config'): string =>
  `net-update default ${command} ip-dhcp-host '${element}' --parent-index 0 ${flags}`

test("every address of libvirt's stock network is accepted, and reserved first", async () => {
  const observed = stockNetwork()
  assert.equal(findProblems(cluster, [observed]), [])
  const changes = planCreate(cluster, [observed])
  assert.is(changes[0]?.summary, 'Reserve 192.168.122.70 for home-cp1 in the network default')
  assert.equal([changes[0]?.kind, changes[1]?.kind], ['reserve-address', 'define-domain'])
  assert.equal(await commandsOf(changes, observed), [
    update('add-last', cp1),
    update('add-last', w1),
  ])
})

test('CLUSTER_VIP is reserved for a MAC address that no machine has', async () => {
  const desired = testCluster({ ...settings, CLUSTER_VIP: '192.168.122.60' })
  const observed = stockNetwork({ live: cp1 + w1 })
  const changes = planCreate(desired, [observed])
  assert.equal(await commandsOf(changes, observed, desired), [update('add-last', vip)])
})

test('nothing is reserved outside of the DHCP ranges', () => {
  const range = "<range start='192.168.122.100' end='192.168.122.254'/>"
  assert.equal(ofReservations(planCreate(cluster, [stockNetwork({ range })])), [])
  assert.equal(planCreate(cluster, [stockNetwork({ range }, finishedHost(cluster))]), [])
})

for (const [title, has, expected] of [
  ['there already', { live: cp1 + w1 }, []],
  [
    'lost when the network was restarted',
    { live: w1, config: cp1 + w1 },
    [update('add-last', cp1, '--live')],
  ],
  ['only made for now', { live: cp1 + w1, config: w1 }, [update('add-last', cp1, '--config')]],
  [
    'of the former offset',
    { live: cp1.replace('.70', '.50') + w1 },
    [update('delete', cp1.replace('.70', '.50')), update('add-last', cp1)],
  ],
  ['made by hand under another name', { live: cp1.replace('home-cp1', 'mine') + w1 }, []],
  ['made by hand, by name alone', { live: cp1.replace("mac='52:54:00:0a:0b:01' ", '') + w1 }, []],
] as const)
  test(`a reservation that is ${title}, of a running cluster`, async () => {
    const observed = stockNetwork(has, finishedHost(cluster))
    assert.equal(findProblems(cluster, [observed]), [])
    assert.equal(await commandsOf(planCreate(cluster, [observed]), observed), expected)
  })

const former = "<host mac='52:54:00:0a:0b:42' name='home-w2' ip='192.168.122.80'/>"
const swapped = [cp1.replace('.70', '.80'), w1.replace('.80', '.70')] as const
for (const [title, live, expected] of [
  ['of a former machine', cp1 + former, [update('delete', former), update('add-last', w1)]],
  [
    'that machines exchange',
    swapped.join(''),
    [
      ...[update('delete', swapped[0]), update('delete', swapped[1]), update('add-last', cp1)],
      ...[update('delete', swapped[0]), update('delete', swapped[1]), update('add-last', w1)],
    ],
  ],
] as const)
  test(`removes reservations ${title} before it adds its own`, async () => {
    const observed = stockNetwork({ live })
    assert.equal(findProblems(cluster, [observed]), [])
    assert.equal(await commandsOf(planCreate(cluster, [observed]), observed), expected)
  })

test('the IPv4 element with DHCP is updated, wherever it is', async () => {
  const v6 = "<ip family='ipv6' address='fd00::1' prefix='64'><dhcp/></ip>"
  const v4 = `<ip address='192.168.122.1' prefix='24'><dhcp>${stock}</dhcp></ip>`
  const xml = (...ips: string[]): string => `<network>${ips.join('')}</network>`
  const commands = async (live: string, config: string): Promise<string[]> => {
    const host = emptyHost(cluster)
    const networks = { ...host.networks, ...readNetwork([live, config], { isActive: true }) }
    const observed = { ...host, networks }
    return commandsOf(planCreate(cluster, [observed]).slice(0, 1), observed)
  }
  const add = (rest: string): string =>
    `net-update default add-last ip-dhcp-host '${cp1}' --parent-index ${rest}`
  assert.equal(await commands(xml(v6, v4), xml(v6, v4)), [add('1 --live --config')])
  assert.equal(await commands(xml(v4), xml(v6, v4)), [add('0 --live'), add('1 --config')])
})

test('reservations of a former MAC_PREFIX are those of the machines that have it', async () => {
  const desired = testCluster({ ...settings, MAC_PREFIX: '52:54:00:0c:0d' })
  const identity = { ...emptyHost(cluster).identity, hasRun: false }
  const observed = stockNetwork({ live: cp1 + w1 }, finishedHost(cluster, { identity }))
  const moved = (element: string): string => element.replace('0a:0b', '0c:0d')
  assert.equal(findProblems(desired, [observed]), [])
  assert.equal(await commandsOf(planCreate(desired, [observed]), observed, desired), [
    ...[update('delete', cp1), update('add-last', moved(cp1))],
    ...[update('delete', w1), update('add-last', moved(w1))],
  ])
  assert.equal(await commandsOf(planDestroy(desired, [observed]), observed, desired), [
    update('delete', cp1),
    update('delete', w1),
  ])
  const theirs = stockNetwork({ live: cp1 + w1 })
  assert.equal(
    findProblems(desired, [theirs]).map(({ code }) => code),
    ['ADDRESS_TAKEN', 'ADDRESS_TAKEN'],
  )
})

test('a reservation made by hand is removed only with a name of the cluster and its MAC prefix', async () => {
  const byHand = [cp1.replace('home-cp1', 'mine'), w1.replace("mac='52:54:00:0a:0b:41' ", '')]
  const observed = stockNetwork({ live: byHand.join('') + vip }, finishedHost(cluster))
  const changes = planDestroy(cluster, [observed])
  assert.equal(await commandsOf(changes, observed), [update('delete', vip)])
})

test('a reservation that is gone already is no error', async () => {
  const observed = stockNetwork({ live: cp1 })
  const stderr = "error: couldn't locate a matching dhcp host entry in network 'default'"
  const host = recordingHost(
    () => new CommandFailed('kvm1', 'virsh', { stdout: '', stderr, exitCode: 1 }),
  )
  const context = { cluster, hosts: [host], observedHosts: [observed], log: silentLog }
  for (const change of planDestroy(cluster, [observed])) await applyVmChange(change, context)
  assert.is(host.commands.length, 1)
})

const other = "<host mac='52:54:00:aa:bb:01' name='nas' ip='192.168.122.70'/>"
const lease = ' 2026-11-30 23:59:01   52:54:00:aa:bb:05   ipv4   192.168.122.70/24   -   -\n'
test('an address outside of the DHCP ranges may be reserved for another machine, until ours has it', () => {
  const range = "<range start='192.168.122.100' end='192.168.122.254'/>"
  const problems = (has: Has, host?: ObservedHost): string[] =>
    findProblems(cluster, [stockNetwork({ range, ...has }, host)]).map(({ message }) => message)
  assert.equal(problems({ live: other }), [
    'home-cp1 would get 192.168.122.70, which the network default reserves for nas',
  ])
  assert.equal(problems({ live: "<host mac='52:54:00:0a:0b:01' ip='192.168.122.9'/>" }), [])
  assert.equal(problems({ live: other }, finishedHost(cluster)), [])
})

for (const [title, has, message] of [
  [
    'reserved for another machine',
    { live: other },
    'home-cp1 would get 192.168.122.70, which the network default reserves for nas',
  ],
  [
    'reserved for another machine from the next start of the network',
    { config: other },
    'home-cp1 would get 192.168.122.70, which the network default reserves for nas',
  ],
  [
    'not the one that its MAC address has',
    { live: "<host mac='52:54:00:0a:0b:01' name='x' ip='192.168.122.9'/>" },
    'home-cp1 would get 192.168.122.70, but the network default reserves 192.168.122.9 for its MAC address',
  ],
  [
    'not the one that its name has',
    { live: "<host mac='52:54:00:ff:0b:01' name='home-cp1' ip='192.168.122.9'/>" },
    'home-cp1 would get 192.168.122.70, but the network default reserves 192.168.122.9 for its name',
  ],
  [
    'leased to a machine that libvirt does not know',
    { leases: lease },
    'home-cp1 would get 192.168.122.70, which 52:54:00:aa:bb:05 has from the DHCP server of the network default',
  ],
] as const)
  test(`refuses an address that is ${title}`, () => {
    const [problem, ...more] = findProblems(cluster, [stockNetwork(has)])
    assert.equal(more, [])
    assert.is(problem?.code, 'ADDRESS_TAKEN')
    assert.is(problem?.message, message)
  })

test('names the machine that has leased an address', () => {
  const machine = { mac: '52:54:00:AA:BB:05' }
  const theirs = domainFor(cluster, firstOf(cluster), {
    ...{ name: 'win11', owner: undefined, own: undefined, machine },
  })
  const observed = { ...stockNetwork({ leases: lease }), domains: [theirs] }
  assert.match(
    findProblems(cluster, [observed])[0]?.message ?? '',
    'which win11 (52:54:00:aa:bb:05) has',
  )
})

test("a destroy removes the cluster's reservations only, also of former machines", async () => {
  const former = "<host mac='52:54:00:0a:0b:42' name='home-w2' ip='192.168.122.81'/>"
  const theirs = [
    "<host mac='52:54:00:aa:bb:01' name='nas' ip='192.168.122.90'/>",
    "<host mac='52:54:00:0a:0c:01' name='home-w3' ip='192.168.122.91'/>",
    "<host mac='52:54:00:0a:0b:43' name='home-two-w1' ip='192.168.122.92'/>",
  ]
  const live = [cp1, former, vip, ...theirs].join('')
  const observed = stockNetwork({ live, config: live + w1 })
  assert.equal(await commandsOf(planDestroy(cluster, [observed]), observed), [
    update('delete', cp1),
    update('delete', former),
    update('delete', vip),
    update('delete', w1, '--config'),
  ])
  const moved = stockNetwork({ live: cp1.replace('.70', '.50'), config: cp1 })
  assert.equal(await commandsOf(planDestroy(cluster, [moved]), moved), [
    update('delete', cp1.replace('.70', '.50'), '--live'),
    update('delete', cp1, '--config'),
  ])
  const inactive = { ...emptyHost(cluster).networks, active: [] }
  const stopped = stockNetwork({ live, config: cp1 }, { ...emptyHost(cluster), networks: inactive })
  assert.equal(await commandsOf(planDestroy(cluster, [stopped]), stopped), [
    update('delete', cp1, '--config'),
  ])
  assert.equal(planDestroy(cluster, [stockNetwork({ live: theirs.join('') })]), [])
})

test('a reservation that libvirt refuses is ADDRESS_NOT_RESERVED', async () => {
  const observed = stockNetwork()
  const [change] = planCreate(cluster, [observed])
  if (change === undefined) throw new Error('nothing is planned')
  const stderr = 'error: there is an existing dhcp host entry in network'
  const host = recordingHost(
    () => new CommandFailed('kvm1', 'virsh', { stdout: '', stderr, exitCode: 1 }),
  )
  const context = { cluster, hosts: [host], observedHosts: [observed], log: silentLog }
  const problem = await problemOf(applyVmChange(change, context))
  assert.is(problem.code, 'ADDRESS_NOT_RESERVED')
  assert.match(problem.hint ?? '', 'another process has just changed it')
})

test.run()
