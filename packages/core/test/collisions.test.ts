import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCollisions } from '../src/collisions.ts'
import { testCluster } from '../src/testing/test-cluster.ts'

const first = { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }
const trial = { ...first, CLUSTER_NAME: 'trial' }
const free = {
  ...trial,
  CONTROL_PLANE_IP_OFFSET: '20',
  WORKER_IP_OFFSET: '30',
  CLUSTER_VIP: '10.0.0.19',
}

const texts = (one: Record<string, string>, other: Record<string, string>): string[] =>
  findCollisions(testCluster(one), testCluster(other)).map(({ kind, text }) => `${kind} ${text}`)

test('a copied env file with another name: addresses and the VIP, by the settings of both files', () => {
  assert.equal(texts(trial, first), [
    'address 10.0.0.70 is trial-cp1 by CONTROL_PLANE_IP_OFFSET of env/trial.env, and home-cp1 by CONTROL_PLANE_IP_OFFSET of env/home.env, and 2 more',
    'address 10.0.0.80 is trial-w1 by WORKER_IP_OFFSET of env/trial.env, and home-w1 by WORKER_IP_OFFSET of env/home.env, and 1 more',
    'address 10.0.0.60 is the VIP by CLUSTER_VIP of env/trial.env, and the VIP by CLUSTER_VIP of env/home.env',
  ])
})

test('clusters with addresses of their own, or in other networks, do not collide', () => {
  assert.equal(texts(free, first), [])
  assert.equal(
    texts({ ...trial, NETWORK_CIDR: '10.1.0.0/24', CLUSTER_VIP: '10.1.0.60' }, first),
    [],
  )
})

test('the VIP of one is a machine of the other', () => {
  assert.equal(texts({ ...free, CLUSTER_VIP: '10.0.0.81' }, first), [
    'address 10.0.0.81 is the VIP by CLUSTER_VIP of env/trial.env, and home-w2 by WORKER_IP_OFFSET of env/home.env',
  ])
  assert.equal(texts(first, { ...free, CLUSTER_VIP: '10.0.0.81' }), [
    'address 10.0.0.81 is home-w2 by WORKER_IP_OFFSET of env/home.env, and the VIP by CLUSTER_VIP of env/trial.env',
  ])
})

test('a MAC prefix of both matters in one network only', () => {
  const mac = { MAC_PREFIX: '52:54:00:aa:bb' }
  assert.equal(texts({ ...free, ...mac }, { ...first, ...mac }), [
    'mac 52:54:00:aa:bb:01 is trial-cp1 by MAC_PREFIX of env/trial.env, and home-cp1 by MAC_PREFIX of env/home.env, and 4 more',
  ])
  const elsewhere = { ...trial, NETWORK_CIDR: '10.1.0.0/24', CLUSTER_VIP: '10.1.0.60' }
  assert.equal(texts({ ...elsewhere, ...mac }, { ...first, ...mac }), [])
})

test('an API of the same name and port is one API; another port of a load balancer is not', () => {
  const at = (CLUSTER_ENDPOINT: string) => ({ CLUSTER_ENDPOINT })
  assert.equal(texts({ ...free, ...at('k8s.lan') }, { ...first, ...at('k8s.lan:6443') }), [
    'address k8s.lan:6443 is the API by CLUSTER_ENDPOINT of env/trial.env, and the API by CLUSTER_ENDPOINT of env/home.env',
  ])
  assert.equal(texts({ ...free, ...at('k8s.lan:6444') }, { ...first, ...at('k8s.lan') }), [])
})

test.run()
