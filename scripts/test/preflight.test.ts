import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Problem, projectRoot } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import type { HostDetails } from '@talosmith/vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { emptyHost } from '@talosmith/vm/testing'
import { missing, renderChecks, type Check } from '../doctor/check.ts'
import { judgeHost, type SeenHost } from '../doctor/judge.ts'
import { nodeMinimum } from '../doctor/preflight.ts'

const cluster = testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv', NETWORK_BRIDGE: 'br0' })
const [node] = cluster.nodes
if (node === undefined) throw new Error('no machines')

const seen = emptyHost(cluster)
const details: HostDetails = {
  user: 'root',
  groups: ['root'],
  missingPrograms: [],
  missingCpuFlags: [],
  isNested: false,
  bridge: { isUp: true, addresses: ['10.0.0.2/24'] },
  bridgeFilter: { active: false, policy: 'ACCEPT' },
  confinement: [],
}
const none = { host: seen.host, machines: new Map(), gatewayAnswers: true, vipAnswering: [] }
const host: SeenHost = {
  seen,
  details,
  trial: { ok: true },
  evidence: none,
  problems: [],
  warnings: [],
  outside: { factory: { status: 200 }, nfs: true },
}

const faults = (changed: Partial<SeenHost>, settings: Record<string, string> = {}): string[] =>
  judgeHost(
    testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv', NETWORK_BRIDGE: 'br0', ...settings }),
    {
      ...host,
      ...changed,
    },
  )
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ verdict, check, says }) => `${verdict} ${check}: ${says}`)

test('a host that has everything is ok in every line', () => {
  const checks = judgeHost(cluster, host)
  assert.equal([...new Set(checks.map(({ verdict }) => verdict))], ['ok'])
  assert.equal(
    checks.map(({ check }) => check),
    [
      ...['access', 'KVM', 'processor', 'storage pool', 'network', 'firewall', 'UEFI firmware'],
      ...['programs', 'throwaway machine', 'memory', 'addresses', 'Image Factory', 'NFS server'],
    ],
  )
})

const refused = (reason: string, kernelLog: string[] = []): Partial<SeenHost> => ({
  trial: { ok: false, reason, kernelLog },
})
const rows: [string, Partial<SeenHost>, RegExp, Record<string, string>?][] = [
  [
    'no KVM',
    { seen: { ...seen, kvmProblem: 'there is no /dev/kvm' } },
    /^warning KVM: there is no \/dev\/kvm: machines are emulated/,
  ],
  [
    'an old processor',
    { details: { ...details, missingCpuFlags: ['sse4_2'] } },
    /^missing processor: it lacks sse4_2/,
  ],
  [
    'a processor model below the level',
    {},
    /^missing processor: CPU_MODEL=qemu64/,
    { CPU_MODEL: 'qemu64' },
  ],
  [
    'a bridge that is down',
    { details: { ...details, bridge: { isUp: false, addresses: [] } } },
    /^warning network: bridge br0 is down/,
  ],
  [
    'a bridge of another network',
    { details: { ...details, bridge: { isUp: true, addresses: ['192.168.1.2/24'] } } },
    /^warning network: bridge br0 has 192\.168\.1\.2\/24, which is not in 10\.0\.0\.0\/24$/,
  ],
  [
    'a firewall that we may not look at',
    { details: { ...details, bridgeFilter: { active: true, policy: undefined } } },
    /^warning firewall: .* is not known$/,
  ],
  [
    'a VIP that somebody has',
    { evidence: { ...none, vipAnswering: ['52:54:00:99:99:99'] } },
    /^missing addresses: 10\.0\.0\.60 \(CLUSTER_VIP\) is 52:54:00:99:99:99's$/,
    { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' },
  ],
  [
    'a bridge that iptables filters',
    { details: { ...details, bridgeFilter: { active: true, policy: 'DROP' } } },
    /^warning firewall: iptables sees/,
  ],
  [
    'missing programs',
    { details: { ...details, missingPrograms: ['zstd', 'xz'] } },
    /^missing programs: .* lacks zstd, xz$/,
  ],
  [
    'AppArmor',
    refused("error: internal error: cannot open '/pool/x': Permission denied", [
      'audit: apparmor="DENIED" operation="open"',
    ]),
    /^missing throwaway machine: AppArmor keeps QEMU/,
  ],
  [
    'SELinux',
    refused("Could not open '/pool/x': Permission denied", ['avc:  denied  { read }']),
    /^missing throwaway machine: SELinux keeps QEMU/,
  ],
  [
    "a pool that QEMU's user may not reach",
    refused("Could not open '/home/me/x': Permission denied"),
    /^missing throwaway machine: the user that QEMU runs as/,
  ],
  [
    'a user without rights',
    refused('error: authentication unavailable: no polkit agent available'),
    /^missing throwaway machine: libvirt does not let us in/,
  ],
  [
    'an unknown refusal',
    refused('error: something else'),
    /^missing throwaway machine: a machine cannot be made: error: something else/,
  ],
  [
    'a factory out of reach',
    {
      seen: { ...seen, hasImage: false },
      outside: { factory: { fault: 'curl: (6) Could not resolve host: factory' }, nfs: true },
    },
    /^missing Image Factory: the host does not reach .*Could not resolve/,
  ],
  [
    'a factory out of reach of a host that has its image',
    { outside: { factory: { fault: 'curl: (6) Could not resolve host: factory' }, nfs: true } },
    /^warning Image Factory: the host does not reach .*Could not resolve/,
  ],
  [
    'an NFS server out of reach',
    { outside: { factory: { status: 200 }, nfs: false } },
    /^missing NFS server: 10\.0\.0\.9 does not answer/,
  ],
  [
    'little memory',
    {
      warnings: [{ about: 'memory', text: '3 machines need 9 MiB of it; kvm1 has 1 MiB left' }],
    },
    /^warning memory: 3 machines need/,
  ],
  [
    'a silent gateway',
    { evidence: { ...none, gatewayAnswers: false } },
    /^warning gateway: nobody answers for 10\.0\.0\.1/,
  ],
  [
    'a problem of vm:create',
    {
      problems: [new Problem('BRIDGE_NOT_FOUND', 'there is no bridge br0 on kvm1', { hint: 'x' })],
    },
    /^missing network: there is no bridge br0 on kvm1$/,
  ],
]
for (const [title, changed, expected, settings] of rows)
  test(`${title} is one line, with a remedy`, () => {
    const found = faults(changed, settings)
    assert.is(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', expected)
    assert.not.match(JSON.stringify(judgeHost(cluster, { ...host, ...changed })), 'security_driver')
  })

test('what a warning asks for ends it', () => {
  const noKvm = { seen: { ...seen, kvmProblem: 'there is no /dev/kvm' } }
  const old = { details: { ...details, missingCpuFlags: ['sse4_2'] } }
  assert.equal(faults({ ...noKvm, ...old }, { DOMAIN_TYPE: 'qemu' }), [])
  assert.equal(faults(old, { DOMAIN_TYPE: 'qemu' }), [])
})

test('one thing that is in the way is one line, and hides nothing else', () => {
  const kvm = new Problem('KVM_UNUSABLE', 'KVM cannot be used on kvm1', { hint: 'x' })
  const tools = new Problem('HOST_TOOLS_MISSING', 'kvm1 lacks xorriso', { hint: 'x' })
  const found = faults(
    {
      seen: { ...seen, kvmProblem: 'there is no /dev/kvm' },
      problems: [kvm, tools],
      details: { ...details, missingPrograms: ['curl'] },
    },
    { DOMAIN_TYPE: 'kvm' },
  )
  assert.equal(found, [
    'missing programs: root@kvm1 lacks curl',
    'missing KVM: KVM cannot be used on kvm1',
    'missing programs: kvm1 lacks xorriso',
  ])
})

test('a bridge may have no address, or several', () => {
  for (const addresses of [[], ['192.168.1.2/24', '10.0.0.2/24']])
    assert.equal(faults({ details: { ...details, bridge: { isUp: true, addresses } } }), [])
})

test('our own control plane may hold the VIP', () => {
  const evidence = { ...none, vipAnswering: [node.mac] }
  assert.equal(faults({ evidence }, { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }), [])
})

test('a factory that the host never asks has no line', () => {
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
    assert.match(faults({}, { CPU_MODEL: model }).join(), `CPU_MODEL=${model} lacks x86-64-v2`)
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
    assert.equal(faults({}, { CPU_MODEL: model }), [])
  })

test('an address that somebody has is missing, by name; our own machine’s is not', () => {
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
  assert.equal(faults({ evidence }), [
    `missing addresses: ${node.address} (${node.name}) is 52:54:00:99:99:99's`,
  ])
})

test('a host without NFS_SERVER has no line for it', () => {
  assert.not(
    judgeHost(cluster, { ...host, outside: { factory: { status: 200 }, nfs: undefined } }).some(
      ({ check }) => /NFS/.test(check),
    ),
  )
})

test('the lines stand by area, remedies below, and the last says what follows', () => {
  const checks: Check[] = [
    { area: 'this machine', check: 'Node', verdict: 'ok', says: 'v20' },
    missing('kvm1', 'access', new Problem('SSH_UNREACHABLE', 'no ssh', { hint: 'ssh kvm1' })),
  ]
  assert.is(
    renderChecks(checks),
    `this machine:
  ok       Node    v20
kvm1:
  missing  access  SSH_UNREACHABLE: no ssh
                   try: ssh kvm1

1 missing: mend these first.`,
  )
  assert.match(renderChecks(checks.slice(0, 1)), /Nothing is missing\.$/)
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
