import { clusterOn, type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findProblems, findWarnings } from '../src/check.ts'
import type { ObservedHost } from '../src/observe.ts'
import { hostOf, stayingInPlace, withPlaces } from '../src/place.ts'
import { planCreate } from '../src/plan-create.ts'
import { planReleases } from '../src/reservations.ts'
import { describeMachineStatus } from '../src/status.ts'
import { diskFor, emptyHost, finishedHost } from './observed-hosts.ts'

const names = ['a', 'b', 'c', 'd']
const uriOf = (name: string): string => `${name}=qemu+ssh://root@${name}/system`

function clusterWith(
  hosts: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Cluster {
  return testCluster({
    LIBVIRT_URI: hosts.map(uriOf).join(','),
    CONTROL_PLANE_COUNT: '3',
    WORKER_COUNT: '3',
    ...more,
  })
}

/** The hosts of a cluster as they are when its machines are where `places` has them, by host. */
function hostsWith(
  cluster: Cluster,
  hosts: readonly string[],
  places: ReadonlyMap<string, string>,
): ObservedHost[] {
  return hosts.map((name, index) => {
    const nodes = cluster.nodes.filter((node) => places.get(node.name) === name)
    return finishedHost(clusterOn(cluster, index), { index, host: name }, nodes)
  })
}

function orders(of: readonly string[]): string[][] {
  if (of.length === 0) return [[]]
  return of.flatMap((first) =>
    orders(of.filter((one) => one !== first)).map((rest) => [first, ...rest]),
  )
}

/** Every order of every set of hosts that has all of `needed`. */
function hostLists(needed: ReadonlySet<string>): string[][] {
  return Array.from({ length: 2 ** names.length }, (_, bits) =>
    names.filter((_, index) => (bits >> index) % 2 === 1),
  )
    .filter((list) => list.length > 0 && [...needed].every((name) => list.includes(name)))
    .flatMap(orders)
}

test('no machine is moved or doubled, whatever hosts are added, removed or reordered', () => {
  const cluster = clusterWith(['a'])
  const all = cluster.nodes.map(({ name }) => name)
  // A digit for each machine: its host, or none yet.
  for (const places of [
    'aaa aaa',
    'aba bab',
    'bbb aaa',
    'cab cab',
    'aa- ---',
    'a-- b--',
    'b-- ---',
  ]) {
    const made = new Map(
      all.flatMap((name, index) => {
        const at = places.replace(' ', '')[index] ?? '-'
        return at === '-' ? [] : [[name, at] as const]
      }),
    )
    for (const list of hostLists(new Set(made.values())))
      for (const more of [{}, { [`HOST_${list[0]?.toUpperCase()}_WEIGHT`]: '5' }]) {
        const described = clusterWith(list, more)
        const hosts = hostsWith(described, list, made)
        const placed = withPlaces(described, hosts)
        const what = `${places} on ${list.join()}`
        for (const [name, at] of made) {
          const node = placed.nodes.find((one) => one.name === name)
          assert.is(node && list[node.host], at, what)
          assert.is(node && hostOf(placed, node, hosts)?.host, at, what)
        }
        const changes = planCreate(placed, hosts)
        const defined = changes.flatMap(({ kind, target }) =>
          kind === 'define-domain' || kind === 'create-disk' ? [`${kind} ${target}`] : [],
        )
        assert.is(new Set(defined).size, defined.length, what)
        assert.equal(
          defined.sort(),
          all
            .filter((name) => !made.has(name))
            .flatMap((name) => [`create-disk ${name}`, `define-domain ${name}`])
            .sort(),
          what,
        )
      }
  }
})

test('what is planned for a machine stays the same when a killed run has made a part of the others', () => {
  const described = clusterWith(['a', 'b'])
  const empty = names.slice(0, 2).map((host, index) => emptyHost(described, { host, index }))
  const first = withPlaces(described, empty)
  for (const count of [1, 2, 3, 4, 5]) {
    const made = new Map(
      first.nodes.slice(0, count).map(({ name, host }) => [name, names[host] ?? ''] as const),
    )
    const again = withPlaces(described, hostsWith(described, ['a', 'b'], made))
    assert.equal(
      again.nodes.map(({ host }) => host),
      first.nodes.map(({ host }) => host),
    )
  }
})

test('a machine that no observed host has may be on the silent one: nothing is planned for it', () => {
  const described = clusterWith(['a', 'b'])
  const made = new Map([['home-cp1', 'a']])
  const [a] = hostsWith(described, ['a', 'b'], made)
  const hosts = a === undefined ? [] : [a]
  const placed = withPlaces(described, hosts)
  assert.equal(planCreate(placed, hosts), [])
  assert.equal(
    describeMachineStatus(placed, hosts).map(({ machine, host }) => `${machine} ${host}`),
    ['home-cp1 a', 'home-cp2 ', 'home-cp3 ', 'home-w1 ', 'home-w2 ', 'home-w3 '],
  )
})

test('a disk on another host than its machine would be created on is refused', () => {
  const described = clusterWith(['a', 'b'])
  const node = described.nodes[0]
  assert.ok(node)
  const [a, b] = ['a', 'b'].map((host, index) => emptyHost(described, { host, index }))
  assert.ok(a && b)
  const disk = diskFor(described, node)
  const withDisk = { ...b, disks: new Map([[disk.path, disk]]) }
  const hosts = [a, withDisk]
  const [problem, ...others] = findProblems(withPlaces(described, hosts), hosts)
  assert.equal(others, [])
  assert.is(problem?.code, 'VM_NOT_OURS')
  assert.match(
    problem?.message ?? '',
    /home-cp1.qcow2 on b is the disk of home-cp1, which would be created on a with an empty one/,
  )
  // Its machine exists: the disk is a copy that someone left.
  const machines = hostsWith(described, ['a', 'b'], new Map([['home-cp1', 'a']]))
  const [first, second] = machines
  assert.ok(first && second)
  const copied = [first, { ...second, disks: new Map([[disk.path, disk]]) }]
  assert.equal(findProblems(withPlaces(described, copied), copied), [])
  // And when the machine gets a new disk anyway.
  assert.equal(
    findProblems(withPlaces(described, hosts), hosts, { recreated: new Set(['home-cp1']) }),
    [],
  )
})

test('machines that are removed to be created again stay on their hosts', () => {
  const described = clusterWith(['a', 'b'])
  const made = new Map(described.nodes.map(({ name }) => [name, 'b'] as const))
  const placed = withPlaces(described, hostsWith(described, ['a', 'b'], made))
  const empty = ['a', 'b'].map((host, index) => emptyHost(described, { host, index }))
  assert.equal(
    withPlaces(stayingInPlace(placed), empty).nodes.map(({ host }) => host),
    placed.nodes.map(() => 1),
  )
})

test('PLACE_ chooses the host of a new machine, and is refused for one on another host', () => {
  const described = clusterWith(['a', 'b'], { PLACE_CP1: 'b', PLACE_W1: 'a' })
  const empty = ['a', 'b'].map((host, index) => emptyHost(described, { host, index }))
  const placed = withPlaces(described, empty)
  assert.is(placed.nodes.find(({ name }) => name === 'home-cp1')?.host, 1)
  assert.equal(findProblems(placed, empty), [])
  const hosts = hostsWith(
    described,
    ['a', 'b'],
    new Map([
      ['home-cp1', 'a'],
      ['home-w1', 'a'],
    ]),
  )
  const [problem, ...others] = findProblems(withPlaces(described, hosts), hosts)
  assert.equal(others, [])
  assert.is(problem?.code, 'PLACE_FIXED')
  assert.is(problem?.message, 'home-cp1 is on a, and PLACE_CP1 is b')
  assert.match(problem?.hint ?? '', /^set PLACE_CP1=a, or remove it/)
})

test('memory is summed up for each host, over the machines that start there', () => {
  const described = clusterWith(['a', 'b'], { HOST_A_WEIGHT: '3' })
  const hosts = ['a', 'b'].map((host, index) =>
    emptyHost(described, { host, index, memoryFreeMib: 9000 }),
  )
  const placed = withPlaces(described, hosts)
  assert.equal(
    placed.nodes.map(({ host }) => host),
    [0, 1, 0, 0, 0, 0],
  )
  assert.equal(
    findWarnings(placed, hosts).map(({ text }) => text),
    ['5 machines need 20480 MiB of memory; a has 9000 MiB left'],
  )
})

test('machines use the network and pool of their host', () => {
  const described = clusterWith(['a', 'b'], {
    HOST_A_NETWORK_BRIDGE: 'vmbr0',
    HOST_B_STORAGE_POOL: 'nvme',
    HOST_B_NETWORK_NAME: 'lan',
  })
  const bridges = ['vmbr0']
  const hosts = ['a', 'b'].map((host, index) =>
    emptyHost(clusterOn(described, index), { host, index, bridges, bridgeNetworks: [] }),
  )
  const problems = findProblems(withPlaces(described, hosts), hosts)
  assert.equal(
    problems.map(({ message, hint }) => [message, hint?.split(' ').slice(0, 2).join(' ')]),
    [['there is no libvirt network lan on b', 'set HOST_B_NETWORK_NAME']],
  )
  const made = new Map(
    described.nodes.map(({ name }, index) => [name, index % 2 ? 'b' : 'a'] as const),
  )
  const done = hostsWith(described, ['a', 'b'], made)
  assert.equal(planCreate(withPlaces(described, done), done), [])
  const general = withPlaces(clusterWith(['a', 'b']), done)
  assert.equal(
    planCreate(general, done).map(({ target, from, to }) => `${target}: ${from} -> ${to}`),
    described.nodes.map(
      ({ name }, index) => `${name}: ${index % 2 ? 'network lan' : 'bridge vmbr0'} -> bridge br0`,
    ),
  )
})

test('reservations are removed from the network of each host', () => {
  const described = clusterWith(['a', 'b'], { HOST_B_NETWORK_NAME: 'lan' })
  const node = described.nodes[1]
  assert.ok(node)
  const hosts = ['a', 'b'].map((host, index) => {
    const empty = emptyHost(described, { host, index })
    const reservation = { name: node.name, mac: node.mac, address: node.address }
    return index === 0
      ? empty
      : {
          ...empty,
          networks: {
            ...empty.networks,
            reservations: new Map([['live' as const, [reservation]]]),
          },
        }
  })
  assert.equal(
    planReleases(described, hosts).map(({ summary }) => summary),
    ['Remove the reservation of 10.0.0.71 for home-cp2 in the network lan'],
  )
})

test.run()
