import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { testCluster } from '@talosmith/core/testing'
import { judgeEndpoint, resolveEndpoint } from '../doctor/endpoint.ts'

const endpoint = suite('CLUSTER_ENDPOINT')
const three = { CONTROL_PLANE_COUNT: '3', CLUSTER_ENDPOINT: 'api.home.lan' }
const [one, two, more] = ['10.0.0.70', '10.0.0.71', '10.0.0.72'] as const

const fresh = { area: 'this machine', exists: false }

for (const [fact, settings, resolved, verdict, expected] of [
  ['does not resolve', three, { reason: 'ENOTFOUND' }, 'fail', 'does not resolve: ENOTFOUND'],
  ['all control planes', three, { addresses: [one, two, more] }, 'ok', 'resolves to 10.0.0.70,'],
  ['one of three', three, { addresses: [one] }, 'warning', 'not to 10.0.0.71, 10.0.0.72'],
  [
    'the VIP',
    { ...three, CLUSTER_VIP: '10.0.0.60' },
    { addresses: ['10.0.0.60'] },
    'ok',
    '10.0.0.60',
  ],
  [
    'a load balancer',
    three,
    { addresses: ['10.0.0.5'] },
    'warning',
    '10.0.0.5 is no control plane',
  ],
  [
    'one of others',
    three,
    { addresses: [one, '10.0.0.5'] },
    'warning',
    '10.0.0.5 is no control plane',
  ],
  ['the only one', { CLUSTER_ENDPOINT: 'api.home.lan' }, { addresses: [one] }, 'ok', one],
] as const)
  endpoint(`${fact}: ${verdict}`, () => {
    const [check] = judgeEndpoint(testCluster(settings), resolved, fresh)
    assert.is(check?.verdict, verdict)
    assert.match(check?.detail ?? '', expected)
    assert.is(check?.remedy === undefined, verdict === 'ok')
  })

endpoint('the remedy of a load balancer has its port', () => {
  const cluster = testCluster({ CLUSTER_ENDPOINT: 'api.home.lan:8443' })
  const [check] = judgeEndpoint(cluster, { addresses: ['10.0.0.5'] }, fresh)
  assert.match(check?.remedy ?? '', 'let it forward TCP 8443 to 10.0.0.70:6443')
})

endpoint('a cluster that exists is started although its name server is down', () => {
  const exists = { area: 'this machine', exists: true }
  const [down] = judgeEndpoint(testCluster(three), { reason: 'EAI_AGAIN' }, exists)
  assert.is(down?.verdict, 'warning')
  const [balanced] = judgeEndpoint(testCluster(three), { addresses: ['10.0.0.5'] }, exists)
  assert.is(balanced?.verdict, 'ok')
})

for (const [fact, settings, expected] of [
  ['the first control plane', {}, undefined],
  ['the first of three control planes', { CONTROL_PLANE_COUNT: '3' }, undefined],
  ['the VIP', { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }, undefined],
  ['of no machine', { CLUSTER_ENDPOINT: '10.0.0.5' }, '10.0.0.5 is no control plane'],
  [
    'of the KVM host',
    { CLUSTER_ENDPOINT: '10.0.0.2', LIBVIRT_URI: 'qemu+ssh://root@10.0.0.2/system' },
    '10.0.0.2 is the KVM host, and no control plane',
  ],
] as const)
  endpoint(`an address, ${fact}: ${expected === undefined ? 'nothing' : 'warning'}`, async () => {
    const cluster = testCluster(settings)
    const resolved = await resolveEndpoint(cluster)
    const [check] = judgeEndpoint(cluster, resolved, fresh)
    assert.is(check?.detail, expected)
    if (expected !== undefined) assert.match(check?.remedy ?? '', 'let it forward TCP 6443 to')
    assert.equal(judgeEndpoint(cluster, resolved, { ...fresh, exists: true }), [])
  })

endpoint('names are resolved as other programs of this machine do', async () => {
  assert.equal(await resolveEndpoint({ ...testCluster(), endpoint: 'https://localhost:6443' }), {
    addresses: ['127.0.0.1'],
  })
})

endpoint('a name that no server knows has the reason', async () => {
  const resolved = await resolveEndpoint(testCluster({ CLUSTER_ENDPOINT: 'api.home.invalid' }))
  assert.ok(resolved !== undefined && 'reason' in resolved)
})

endpoint.run()
