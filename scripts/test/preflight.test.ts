import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Problem, projectRoot } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { emptyHost, finishedHost } from '@talosmith/vm/testing'
import { failed, renderChecks, type Check } from '../doctor/check.ts'
import type { CheckedHost } from '../doctor/checked-host.ts'
import { judgeHost } from '../doctor/judge.ts'
import { nodeMinimum } from '../doctor/preflight.ts'
import { hostDetails as details } from './support/host-details.ts'

const cluster = testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv', NETWORK_BRIDGE: 'br0' })
const [node] = cluster.nodes
if (node === undefined) throw new Error('no machines')

const observed = emptyHost(cluster)
const lan = { bridge: 'br0', address: '192.168.1.2/24', gateway: '192.168.1.254' }
const none = { host: observed.host, machines: new Map(), gatewayAnswers: true, vipAnswering: [] }
const host: CheckedHost = {
  observed,
  details,
  trial: { ok: true },
  evidence: none,
  problems: [],
  warnings: [],
  outside: { factory: { status: 200 }, nfs: true },
}

const failures = (changed: Partial<CheckedHost>, settings: Record<string, string> = {}): string[] =>
  judgeHost(
    testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv', NETWORK_BRIDGE: 'br0', ...settings }),
    {
      ...host,
      ...changed,
    },
  )
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ verdict, check, detail }) => `${verdict} ${check}: ${detail}`)

for (const [reason, proxy, remedy] of [
  [
    'curl: (56) CONNECT tunnel failed, response 404',
    'http://10.0.0.3',
    /correct HOST_PROXY: .*404/,
  ],
  ['curl: (56) Received HTTP code 404 from proxy after CONNECT', 'http://10.0.0.3', /correct HOST/],
  ['curl: (56) CONNECT tunnel failed, response 407', 'http://10.0.0.3', /user and a password/],
  ['curl: (56) CONNECT tunnel failed, response 403', 'http://10.0.0.3', /let the proxy/],
  ['curl: (7) Failed to connect', 'http://10.0.0.3', /fix DNS or firewall/],
  [404, 'http://10.0.0.3', /correct HOST_PROXY/],
  [404, undefined, /fix DNS or firewall/],
] as const)
  test(`${reason} ${proxy === undefined ? 'without' : 'through'} a proxy has its remedy`, () => {
    const settings = proxy === undefined ? {} : { HOST_PROXY: proxy }
    const factory = typeof reason === 'number' ? { status: reason } : { reason }
    const [check] = judgeHost(testCluster(settings), {
      ...host,
      outside: { factory, nfs: undefined },
    }).filter((one) => one.check === 'Image Factory')
    assert.match(check?.remedy ?? '', remedy)
  })

test('the pool tells whether its files are written in its folder or through libvirt', () => {
  const detailOf = (isPoolWritable: boolean): string | undefined =>
    judgeHost(cluster, { ...host, observed: { ...observed, isPoolWritable } }).find(
      ({ check, verdict }) => check === 'storage pool' && verdict === 'ok',
    )?.detail
  assert.match(detailOf(true) ?? '', /GiB free$/)
  assert.match(detailOf(false) ?? '', /libvirt creates the files, as volumes$/)
})

test('a host that has everything passes every check', () => {
  const checks = judgeHost(cluster, host)
  assert.equal([...new Set(checks.map(({ verdict }) => verdict))], ['ok'])
  assert.equal(
    checks.map(({ check }) => check),
    [
      ...['access', 'KVM', 'processor', 'storage pool', 'network', 'firewall', 'UEFI firmware'],
      ...['programs', 'test machine', 'memory', 'addresses', 'Image Factory', 'NFS server'],
    ],
  )
})

const refused = (reason: string, kernelLog: string[] = []): Partial<CheckedHost> => ({
  trial: { ok: false, reason, kernelLog },
})
const rows: [string, Partial<CheckedHost>, RegExp, Record<string, string>?][] = [
  [
    'no KVM',
    { observed: { ...observed, kvmProblem: 'there is no /dev/kvm' } },
    /^warning KVM: there is no \/dev\/kvm: machines are emulated/,
  ],
  [
    'an old processor',
    { details: { ...details, missingCpuFlags: ['sse4_2'] } },
    /^fail processor: lacks sse4_2/,
  ],
  [
    'a processor model below the level',
    {},
    /^fail processor: CPU_MODEL=qemu64/,
    { CPU_MODEL: 'qemu64' },
  ],
  [
    'a bridge that is down',
    { details: { ...details, bridge: { isUp: false } } },
    /^warning network: bridge br0 is down/,
  ],
  [
    'a bridge of another network, and a cluster that works there behind a router',
    { observed: finishedHost(cluster, { bridgeNetworks: [lan] }) },
    /^warning network: bridge br0 has 192\.168\.1\.2\/24, which is not in 10\.0\.0\.0\/24$/,
  ],
  [
    'a gateway that is not that of the bridge',
    { observed: { ...observed, bridgeNetworks: [lan] } },
    /^warning network: the gateway of bridge br0 is 192\.168\.1\.254, and NETWORK_GATEWAY is 192\.168\.1\.1$/,
    { NETWORK_CIDR: '192.168.1.0/24', NFS_SERVER: '192.168.1.9' },
  ],
  [
    'a firewall that only root can inspect',
    { details: { ...details, filter: { seesBridged: true, policy: undefined, rules: [] } } },
    /^warning firewall: .* could not be read$/,
  ],
  [
    'a VIP that is in use',
    { evidence: { ...none, vipAnswering: ['52:54:00:99:99:99'] } },
    /^fail addresses: 10\.0\.0\.60 \(CLUSTER_VIP\) is used by 52:54:00:99:99:99$/,
    { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' },
  ],
  [
    'a bridge that iptables filters',
    { details: { ...details, filter: { seesBridged: true, policy: 'DROP', rules: [] } } },
    /^warning firewall: iptables drops bridged/,
  ],
  [
    'programs that are not installed',
    { details: { ...details, missingPrograms: ['zstd', 'xz'] } },
    /^fail programs: .* lacks zstd, xz$/,
  ],
  [
    'AppArmor',
    refused("error: internal error: cannot open '/pool/x': Permission denied", [
      'audit: apparmor="DENIED" operation="open"',
    ]),
    /^fail test machine: AppArmor denies QEMU/,
  ],
  [
    'SELinux',
    refused("Could not open '/pool/x': Permission denied", ['avc:  denied  { read }']),
    /^fail test machine: SELinux denies QEMU/,
  ],
  [
    "a pool that QEMU's user cannot access",
    refused("Could not open '/home/me/x': Permission denied"),
    /^fail test machine: the user that QEMU runs as/,
  ],
  [
    'a user without rights',
    refused('error: authentication unavailable: no polkit agent available'),
    /^fail test machine: libvirt denies access/,
  ],
  [
    'an unknown refusal',
    refused('error: something else'),
    /^fail test machine: libvirt cannot create a machine: error: something else/,
  ],
  [
    'an unreachable factory',
    {
      observed: { ...observed, hasImage: false },
      outside: { factory: { reason: 'curl: (6) Could not resolve host: factory' }, nfs: true },
    },
    /^fail Image Factory: the host cannot reach .*Could not resolve/,
  ],
  [
    'an unreachable factory, from a host that has its image',
    { outside: { factory: { reason: 'curl: (6) Could not resolve host: factory' }, nfs: true } },
    /^warning Image Factory: the host cannot reach .*Could not resolve/,
  ],
  [
    'an unreachable NFS server',
    { outside: { factory: { status: 200 }, nfs: false } },
    /^fail NFS server: 10\.0\.0\.9 does not answer/,
  ],
  [
    'little memory',
    {
      warnings: [{ about: 'memory', text: '3 machines need 9 MiB of it; kvm1 has 1 MiB left' }],
    },
    /^warning memory: 3 machines need/,
  ],
  [
    'a gateway that does not answer',
    { evidence: { ...none, gatewayAnswers: false } },
    /^warning gateway: 10\.0\.0\.1 does not answer$/,
  ],
  [
    'a gateway that cannot answer, in a network that the bridge is not in',
    {
      evidence: { ...none, gatewayAnswers: false },
      problems: [new Problem('ADDRESS_OUTSIDE_NETWORK', 'br0 is elsewhere', { hint: 'x' })],
    },
    /^fail network: br0 is elsewhere$/,
  ],
  [
    'a problem of vm:create',
    {
      problems: [new Problem('BRIDGE_NOT_FOUND', 'there is no bridge br0 on kvm1', { hint: 'x' })],
    },
    /^fail network: there is no bridge br0 on kvm1$/,
  ],
]
for (const [title, changed, expected, settings] of rows)
  test(`${title} is one failed check, with a remedy`, () => {
    const found = failures(changed, settings)
    assert.is(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', expected)
    assert.not.match(JSON.stringify(judgeHost(cluster, { ...host, ...changed })), 'security_driver')
  })

test('following the remedy of a warning ends it', () => {
  const noKvm = { observed: { ...observed, kvmProblem: 'there is no /dev/kvm' } }
  const old = { details: { ...details, missingCpuFlags: ['sse4_2'] } }
  assert.equal(failures({ ...noKvm, ...old }, { DOMAIN_TYPE: 'qemu' }), [])
  assert.equal(failures(old, { DOMAIN_TYPE: 'qemu' }), [])
})

test('a problem is one failed check, and hides no other', () => {
  const kvm = new Problem('KVM_UNUSABLE', 'KVM cannot be used on kvm1', { hint: 'x' })
  const tools = new Problem('HOST_TOOLS_MISSING', 'kvm1 lacks xorriso', { hint: 'x' })
  const found = failures(
    {
      observed: { ...observed, kvmProblem: 'there is no /dev/kvm' },
      problems: [kvm, tools],
      details: { ...details, missingPrograms: ['curl'] },
    },
    { DOMAIN_TYPE: 'kvm' },
  )
  assert.equal(found, [
    'fail programs: root@kvm1 lacks curl',
    'fail KVM: KVM cannot be used on kvm1',
    'fail programs: kvm1 lacks xorriso',
  ])
})

test('a bridge may have no address, or several', () => {
  for (const bridgeNetworks of [[], [lan, { ...lan, address: '10.0.0.2/24' }]])
    assert.equal(failures({ observed: { ...observed, bridgeNetworks } }), [])
})

test('a control plane of the cluster may hold the VIP', () => {
  const evidence = { ...none, vipAnswering: [node.mac] }
  assert.equal(failures({ evidence }, { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }), [])
})

test('a factory that the host does not download from has no check', () => {
  const outside = { factory: undefined, nfs: true }
  assert.not(judgeHost(cluster, { ...host, outside }).some(({ check }) => /Factory/.test(check)))
})

// What libvirt's cpu_map gives each of its models.
for (const model of [
  ...['486', 'athlon', 'Conroe', 'core2duo', 'coreduo', 'cpu64-rhel5', 'cpu64-rhel6', 'kvm32'],
  ...['kvm64', 'n270', 'Opteron_G1', 'Opteron_G2', 'Opteron_G3', 'Penryn', 'pentium', 'pentium2'],
  ...['pentium3', 'pentiumpro', 'phenom', 'qemu32', 'qemu64', 'Conroe-v1', 'qemu64-v1'],
])
  test(`CPU_MODEL=${model} is below x86-64-v2`, () => {
    assert.match(failures({}, { CPU_MODEL: model }).join(), `CPU_MODEL=${model} lacks x86-64-v2`)
  })
for (const model of [
  'host-passthrough',
  'max',
  'Nehalem',
  'Westmere-IBRS',
  'Opteron_G4',
  'EPYC-v1',
])
  test(`CPU_MODEL=${model} has x86-64-v2`, () => {
    assert.equal(failures({}, { CPU_MODEL: model }), [])
  })

test('an address in use by another machine fails, with its name; an address in use by the machine itself does not', () => {
  const evidence = {
    ...none,
    machines: new Map([
      [
        node.name,
        {
          state: 'unknown',
          stateReason: '',
          diskErrors: '',
          running: undefined,
          isSeedKnown: true,
          seedLabel: undefined,
          console: [],
          answering: ['52:54:00:99:99:99'],
          elsewhere: [],
          opensApi: false,
          opens: false,
        },
      ],
    ]),
  }
  assert.equal(failures({ evidence }), [
    `fail addresses: ${node.address} (${node.name}) is used by 52:54:00:99:99:99`,
  ])
})

test('an address of the host or of this machine is taken, although neither answers itself', () => {
  const addresses = ['127.0.0.1/8', `${node.address}/24`]
  assert.equal(failures({ details: { ...details, addresses } }), [
    `fail addresses: ${node.address} (${node.name}) is used by root@kvm1`,
  ])
  const own = { name: 'eth0', address: '10.0.0.60/24', mac: '52:54:00:bb:00:01' }
  const here = { isMac: false, bootId: 'two', addresses: [own], route: undefined }
  const reach = { here, isHost: false, answers: false, hostAnswersInside: false }
  assert.equal(failures({ reach }, { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }), [
    'fail addresses: 10.0.0.60 (CLUSTER_VIP) is used by this machine',
  ])
})

test('in the wrong network, the missing route is no second problem', () => {
  const here = { isMac: false, bootId: 'two', addresses: [], route: { kind: 'none' } } as const
  const reach = { here, isHost: true, answers: false, hostAnswersInside: false }
  const problem = new Problem('ADDRESS_OUTSIDE_NETWORK', 'br0 is elsewhere', { hint: 'x' })
  assert.match(failures({ reach }).join(), /^fail route: /)
  assert.equal(failures({ reach, problems: [problem] }), ['fail network: br0 is elsewhere'])
})

test('without NFS_SERVER there is no check of it', () => {
  assert.not(
    judgeHost(cluster, { ...host, outside: { factory: { status: 200 }, nfs: undefined } }).some(
      ({ check }) => /NFS/.test(check),
    ),
  )
})

test('checks are grouped by area, with remedies below and a summary at the end', () => {
  const checks: Check[] = [
    { area: 'this machine', check: 'Node', verdict: 'ok', detail: 'v20' },
    failed('kvm1', 'access', new Problem('SSH_UNREACHABLE', 'no ssh', { hint: 'ssh kvm1' })),
  ]
  assert.is(
    renderChecks(checks),
    `this machine:
  ok       Node    v20
kvm1:
  fail     access  SSH_UNREACHABLE: no ssh
                   try: ssh kvm1

1 check failed. Fix it before cluster:up.`,
  )
  assert.match(renderChecks(checks.slice(0, 1)), /No check failed\.$/)
})

test('mise.toml pins tools of the default versions, and a Node that package.json allows', () => {
  const read = (name: string): string => readFileSync(join(projectRoot, name), 'utf8')
  const pinned = (tool: string) =>
    new RegExp(`^${tool} = "(.+)"$`, 'm').exec(read('mise.toml'))?.[1]
  const { TALOS_VERSION, KUBERNETES_VERSION } = cluster.settings
  assert.is(`v${pinned('talosctl')}`, TALOS_VERSION)
  assert.is(`v${pinned('kubectl')}`, KUBERNETES_VERSION)
  assert.ok(Number(pinned('node')) >= nodeMinimum[0])
  assert.match(read('package.json'), `"node": ">=${nodeMinimum.join('.')}"`)
})

test.run()
