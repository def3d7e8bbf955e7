import { type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Observations } from '../../diagnose/gather.ts'
import { viewsOf } from '../../diagnose/view.ts'
import { down, host, observedWith } from '../support/observed-cluster.ts'

test('a machine that no host has while one is silent may be there: it is not missing', () => {
  const described = (uris: string): Cluster =>
    testCluster({ LIBVIRT_URI: uris, CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '1' })
  const domains = host.domains.filter(({ name }) => name !== 'home-cp1')
  const observed = observedWith({ host: { domains } })
  const silent = down('no answer')
  const hostOfFirst = (of: Cluster, more: Partial<Observations>) =>
    viewsOf(of, { ...observed, ...more }).find(({ node }) => node.name === 'home-cp1')?.host
  assert.is(hostOfFirst(described('qemu:///system'), {})?.index, 0)
  const two = described('qemu:///system,qemu+ssh://root@kvm2/system')
  assert.is(two.nodes[0]?.host, 0)
  assert.is(
    hostOfFirst(two, {
      hosts: [...observed.hosts, silent],
      evidence: [...observed.evidence, silent],
    }),
    undefined,
  )
})

test.run()
