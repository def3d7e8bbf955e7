import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clusterOn, describeCluster, hostFiles, hostLabel } from '../../src/cluster.ts'
import { hostsExample, printConfigurationPage, printExampleEnv } from '../../src/settings/print.ts'
import { checkSettings } from '../../src/settings/read.ts'
import { testCluster } from '../../src/testing/test-cluster.ts'

const uris = 'big=qemu+ssh://root@kvm1/system?keyfile=/k=1, small=qemu+ssh://root@kvm2/system'

/** `KEY: text` of each error of an env file. */
function errorsOf(lines: readonly string[], shell: Record<string, string> = {}): string[] {
  const network = lines.some((line) => /^NETWORK_/.test(line)) ? [] : ['NETWORK_BRIDGE=br0']
  const text = ['CLUSTER_NAME=home', ...network, ...lines].join('\n')
  return checkSettings(text, shell).errors.map(({ name, text: what }) => `${name}: ${what}`)
}

test('names are taken out of LIBVIRT_URI, whose URIs may contain =', () => {
  const { settings } = testCluster({ LIBVIRT_URI: uris })
  assert.equal(settings.LIBVIRT_URI, [
    'qemu+ssh://root@kvm1/system?keyfile=/k=1',
    'qemu+ssh://root@kvm2/system',
  ])
  assert.equal(
    settings.hosts.map(({ name, weight, own }) => [name, weight, own]),
    [
      ['big', 1, undefined],
      ['small', 1, undefined],
    ],
  )
  assert.is(hostLabel({ settings }, 0), 'big (qemu+ssh://root@kvm1/system)')
})

test('without names nothing changes', () => {
  const { settings } = testCluster({ LIBVIRT_URI: 'qemu+ssh://kvm1/system?keyfile=/a=b' })
  assert.equal(settings.LIBVIRT_URI, ['qemu+ssh://kvm1/system?keyfile=/a=b'])
  const cluster = testCluster()
  assert.is(clusterOn(cluster, 0), cluster)
})

test('a host has its own pool, folder and network, and the general ones otherwise', () => {
  const cluster = testCluster({
    LIBVIRT_URI: uris,
    HOST_BIG_STORAGE_POOL: 'nvme',
    HOST_BIG_SEED_ISO_DIR: '/iso',
    HOST_SMALL_NETWORK_NAME: 'lan',
  })
  const [big, small] = [clusterOn(cluster, 0), clusterOn(cluster, 1)]
  const of = ({ settings }: typeof cluster): unknown[] => [
    settings.STORAGE_POOL,
    settings.SEED_ISO_DIR,
    settings.NETWORK_BRIDGE,
    settings.NETWORK_NAME,
  ]
  assert.equal(of(big), ['nvme', '/iso', 'br0', undefined])
  assert.equal(of(small), ['default', undefined, undefined, 'lan'])
  // As one host has it, another one's are still its own.
  assert.equal(of(clusterOn(small, 0)), of(big))
  assert.equal(of(clusterOn(big, 1)), of(small))
  assert.is(hostFiles(big, '/pool').seed({ name: 'home-w1' }), '/iso/home-w1-seed.iso')
})

test('the general network may be left out when each host has its own', () => {
  const each = ['HOST_BIG_NETWORK_BRIDGE=br1', 'HOST_SMALL_NETWORK_NAME=lan']
  const file = (lines: readonly string[]): string[] =>
    checkSettings(['CLUSTER_NAME=home', `LIBVIRT_URI=${uris}`, ...lines].join('\n')).errors.map(
      ({ name }) => name,
    )
  assert.equal(file(each), [])
  assert.equal(file(each.slice(1)), ['NETWORK_BRIDGE'])
})

test('the environment overrides the keys of known hosts only', () => {
  const text = `CLUSTER_NAME=home\nNETWORK_BRIDGE=br0\nLIBVIRT_URI=${uris}\n`
  const { settings, fromShell, errors } = checkSettings(text, {
    HOST_BIG_STORAGE_POOL: 'fast',
    HOST_OTHER_STORAGE_POOL: 'not ours',
    PLACE_W1: 'small',
  })
  assert.equal(errors, [])
  assert.is(settings.hosts[0]?.own?.STORAGE_POOL, 'fast')
  assert.equal(settings.places, { w1: 1 })
  assert.equal(fromShell, ['HOST_BIG_STORAGE_POOL=fast', 'PLACE_W1=small'])
})

const wrong: readonly (readonly [title: string, lines: readonly string[], error: RegExp])[] = [
  [
    'a name for some hosts only',
    ['LIBVIRT_URI=a=qemu+ssh://kvm1/system,qemu+ssh://kvm2/system'],
    /^LIBVIRT_URI: names some of its hosts; name all of them/,
  ],
  ['a name in upper case', ['LIBVIRT_URI=Big=qemu:///system'], /^LIBVIRT_URI: "Big" is not a name/],
  ['an empty name', ['LIBVIRT_URI==qemu:///system'], /^LIBVIRT_URI: "" is not a name/],
  ['a reserved name', ['LIBVIRT_URI=proxy=qemu:///system'], /^LIBVIRT_URI: "proxy" is reserved/],
  [
    'a name twice',
    ['LIBVIRT_URI=a=qemu:///system,a=qemu+ssh://kvm2/system'],
    /^LIBVIRT_URI: has two hosts named a;/,
  ],
  [
    'names with the same keys',
    ['LIBVIRT_URI=a-b=qemu:///system,a_b=qemu+ssh://kvm2/system'],
    /^LIBVIRT_URI: has two hosts named a-b and a_b;/,
  ],
  [
    'a URI twice under two names',
    ['LIBVIRT_URI=a=qemu:///system,b=qemu:///system'],
    /^LIBVIRT_URI: names qemu:\/\/\/system more than once/,
  ],
  [
    'a misspelt host',
    [`LIBVIRT_URI=${uris}`, 'HOST_BGI_STORAGE_POOL=x'],
    /^HOST_BGI_STORAGE_POOL: LIBVIRT_URI has no host "bgi"; did you mean HOST_BIG_STORAGE_POOL\?/,
  ],
  [
    'a key of a host without names',
    ['HOST_BIG_WEIGHT=2'],
    /^HOST_BIG_WEIGHT: LIBVIRT_URI has no host with a name; write LIBVIRT_URI=big=<URI>/,
  ],
  [
    'a misspelt key of a host',
    [`LIBVIRT_URI=${uris}`, 'HOST_BIG_STORAGE_POL=x'],
    /^HOST_BIG_STORAGE_POL: not a setting; did you mean HOST_BIG_STORAGE_POOL\?/,
  ],
  [
    'a misspelt HOST_PROXY',
    [`LIBVIRT_URI=${uris}`, 'HOST_PROXIES=http://p:1'],
    /^HOST_PROXIES: not a setting; did you mean HOST_PROXY\?/,
  ],
  [
    'an invalid value',
    [`LIBVIRT_URI=${uris}`, 'HOST_BIG_STORAGE_POOL=a b'],
    /^HOST_BIG_STORAGE_POOL: "a b" is not the name of a libvirt storage pool/,
  ],
  [
    'an invalid weight',
    [`LIBVIRT_URI=${uris}`, 'HOST_BIG_WEIGHT=1.5'],
    /^HOST_BIG_WEIGHT: "1.5" is not a whole number from 0/,
  ],
  [
    'no weight at all',
    [`LIBVIRT_URI=${uris}`, 'HOST_BIG_WEIGHT=0', 'HOST_SMALL_WEIGHT=0'],
    /^HOST_BIG_WEIGHT: every host has the weight 0/,
  ],
  [
    'two networks of one host',
    [`LIBVIRT_URI=${uris}`, 'HOST_BIG_NETWORK_BRIDGE=br1', 'HOST_BIG_NETWORK_NAME=lan'],
    /^HOST_BIG_NETWORK_BRIDGE: "br1" and HOST_BIG_NETWORK_NAME "lan" are both set/,
  ],
  [
    'an unknown place',
    [`LIBVIRT_URI=${uris}`, 'PLACE_W1=smal-l'],
    /^PLACE_W1: "smal-l" is no host of LIBVIRT_URI; did you mean small\?/,
  ],
  ['a place without names', ['PLACE_W1=small'], /^PLACE_W1: LIBVIRT_URI has no host with a name/],
  ['a place of no machine', [`LIBVIRT_URI=${uris}`, 'PLACE_X1=big'], /^PLACE_X1: not a setting/],
]

for (const [title, lines, error] of wrong)
  test(`${title} is one error that names its key`, () => {
    const errors = errorsOf(lines)
    assert.is(errors.length, 1, errors.join('\n'))
    assert.match(errors[0] ?? '', error)
  })

test('a place of a machine beyond the counts is a warning', () => {
  const text = `CLUSTER_NAME=home\nNETWORK_BRIDGE=br0\nLIBVIRT_URI=${uris}\nPLACE_W9=big\nWORKER_COUNT=2`
  const { warnings, errors } = checkSettings(text)
  assert.equal(errors, [])
  assert.match(warnings.join(), /^PLACE_W9 has no effect: WORKER_COUNT is 2/)
})

test('the example of the documentation is valid, and does what it is shown for', () => {
  const { settings, errors, warnings } = checkSettings(
    ['CLUSTER_NAME=home', ...hostsExample].join('\n'),
  )
  assert.equal([errors, warnings], [[], []])
  for (const page of [printConfigurationPage(), printExampleEnv()])
    for (const line of hostsExample) assert.ok(page.includes(line), line)
  const cluster = describeCluster(settings, '/project')
  assert.equal(
    cluster.nodes.map(({ name, host }) => `${name} ${settings.hosts[host]?.name}`),
    ['home-cp1 big', 'home-w1 small', 'home-w2 big'],
  )
  assert.is(clusterOn(cluster, 1).settings.NETWORK_BRIDGE, 'vmbr0')
})

test.run()
