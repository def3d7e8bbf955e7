import { codes, Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { refuseMovedAddresses } from '../../src/config/fixed-addresses.ts'

const cluster = testCluster()

const base = (pods: string, services = '10.96.0.0/12'): string =>
  `version: v1alpha1
machine:
  type: controlplane
cluster:
  network:
    podSubnets: [${pods}]
    serviceSubnets: [${services}]
`
const document = (pods: string): string =>
  `version: v1alpha1
---
apiVersion: v1alpha1
kind: KubeNetworkConfig
podSubnets: [${pods}]
serviceSubnets: [10.96.0.0/12]
`
const vipDocument = (vip: string): string =>
  `${base('10.244.0.0/16')}---
apiVersion: v1alpha1
kind: Layer2VIPConfig
name: ${vip}
link: eth0
`
const vipOfInterface = (vip: string): string =>
  `version: v1alpha1
machine:
  network:
    interfaces:
      - interface: eth0
        vip:
          ip: ${vip}
cluster:
  network:
    podSubnets: [10.244.0.0/16]
    serviceSubnets: [10.96.0.0/12]
`
const pods = '10.244.0.0/16'

function refusal(current: string, desired: string): string | undefined {
  const observed = [{ node: { name: 'home-cp1' }, state: { kind: 'running', config: current } }]
  try {
    refuseMovedAddresses(cluster, observed, new Map([['home-cp1', desired]]))
    return undefined
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    assert.is(error.code, codes.addressFixed)
    assert.match(error.hint ?? '', 'cluster:destroy')
    return error.message
  }
}

for (const [title, current, desired, refused] of [
  ['the same networks', base(pods), `${base(pods)}# changed\n`, undefined],
  ['another pod network', base(pods), base('10.0.0.0/16'), 'pod network'],
  ['another service network', base(pods), base(pods, '10.97.0.0/16'), 'service network'],
  ['a second pod network', base(pods), base(`${pods}, "fd00::/104"`), undefined],
  ['another first pod network', base(pods), base(`"fd00::/104", ${pods}`), 'pod network'],
  ['the same network in the form of 1.14', base(pods), document(pods), undefined],
  ['another network in the form of 1.14', document(pods), document('10.0.0.0/16'), 'pod network'],
  ['another VIP', vipDocument('10.0.0.60'), vipDocument('10.0.0.61'), 'VIP'],
  ['no VIP any more', vipDocument('10.0.0.60'), base(pods), 'VIP'],
  ['a first VIP', base(pods), vipDocument('10.0.0.60'), undefined],
  [
    'the same VIP in the newer form',
    vipOfInterface('10.0.0.60'),
    vipDocument('10.0.0.60'),
    undefined,
  ],
  ['another VIP in the older form', vipOfInterface('10.0.0.60'), vipOfInterface('10.0.0.6'), 'VIP'],
] as const)
  test(`a running machine may ${refused === undefined ? '' : 'not '}get ${title}`, () => {
    if (refused === undefined) assert.is(refusal(current, desired), undefined)
    else assert.match(refusal(current, desired) ?? '', `the ${refused} of home is`)
  })

test('a machine that is not configured may get any address', () => {
  const fresh = [{ node: { name: 'home-cp1' }, state: { kind: 'maintenance' } }]
  refuseMovedAddresses(cluster, fresh, new Map([['home-cp1', vipDocument('10.0.0.61')]]))
})

test.run()
