import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findOverlap } from '../../src/config/subnets.ts'

const cluster = testCluster({ NETWORK_CIDR: '10.0.0.0/24' })
const rows: [title: string, config: string, network: string][] = [
  [
    'in the base document, up to Talos 1.13',
    'version: v1alpha1\ncluster:\n  network:\n    podSubnets: [10.0.0.0/16]\n',
    'the pod network 10.0.0.0/16 (cluster.network.podSubnets)',
  ],
  [
    'in a document of its own, later',
    'version: v1alpha1\n---\napiVersion: v1alpha1\nkind: KubeNetworkConfig\nserviceSubnets: [10.0.0.0/20]\n',
    'the service network 10.0.0.0/20 (serviceSubnets of the document KubeNetworkConfig)',
  ],
]
for (const [where, config, network] of rows)
  test(`an overlap is found ${where}`, () => {
    const found = findOverlap(cluster, new Map([['home-cp1', config]]))
    assert.match(found ?? '', `NETWORK_CIDR 10.0.0.0/24 overlaps ${network}`)
  })

test('other networks do not overlap', () => {
  const config = 'cluster:\n  network:\n    podSubnets: [10.244.0.0/16, fd00::/48]\n'
  assert.is(findOverlap(cluster, new Map([['home-cp1', config]])), undefined)
})

test.run()
