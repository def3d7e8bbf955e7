import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bringsManifests, expectedWorkloads, rolloutProblem } from '../../src/health/rollout.ts'

const configs: [string, string, string[]][] = [
  [
    'a plain config',
    'machine: {}\ncluster: {}\n---\nkind: HostnameConfig\n',
    ['coredns', 'kube-flannel', 'kube-proxy'],
  ],
  ['no config at all', '', ['coredns', 'kube-flannel', 'kube-proxy']],
  [
    'another CNI and no kube-proxy',
    'cluster:\n  network: {cni: {name: none}}\n  proxy: {disabled: true}\n',
    ['coredns'],
  ],
  ['no CoreDNS', 'cluster: {coreDNS: {disabled: true}}\n', ['kube-flannel', 'kube-proxy']],
  [
    'a plain config of Talos 1.14',
    'cluster: {}\n---\nkind: KubeNetworkConfig\n---\nkind: KubeFlannelCNIConfig\n---\nkind: KubeCoreDNSConfig\nenabled: true\n',
    ['coredns', 'kube-flannel', 'kube-proxy'],
  ],
  [
    'a config of Talos 1.14 with another CNI and no kube-proxy',
    'cluster: {}\n---\nkind: KubeNetworkConfig\n---\nkind: KubeProxyConfig\nenabled: false\n',
    ['coredns'],
  ],
  [
    'a config of Talos 1.14 without CoreDNS',
    'cluster: {}\n---\nkind: KubeCoreDNSConfig\nenabled: false\n',
    ['kube-flannel', 'kube-proxy'],
  ],
]
for (const [title, config, expected] of configs)
  test(`${title} installs ${expected.join(', ')}`, () => {
    assert.equal(expectedWorkloads(config), expected)
  })

test('manifests of the config may bring a CNI', () => {
  const none = 'cluster:\n  network: {cni: {name: none}}\n'
  assert.is(bringsManifests(none), false)
  assert.is(bringsManifests(`${none}  inlineManifests: [{name: cilium, contents: x}]\n`), true)
  assert.is(bringsManifests(`${none}  extraManifests: [https://x/y.yaml]\n`), true)
  assert.is(bringsManifests('cluster:\n  network: {cni: {name: custom, urls: [x]}}\n'), true)
  for (const kind of ['KubeInlineManifestConfig', 'KubeExternalManifestConfig'])
    assert.is(bringsManifests(`${none}---\nkind: ${kind}\nname: cilium\n`), true)
})

const set = (desired: number, available: number, generation = 1) => ({
  metadata: { name: 'kube-proxy', generation: 1 },
  status: {
    observedGeneration: generation,
    desiredNumberScheduled: desired,
    updatedNumberScheduled: available,
    numberAvailable: available,
  },
})
const rows: [string, ReturnType<typeof set>, string | undefined][] = [
  ['on every machine', set(3, 3), undefined],
  ['on some machines', set(3, 2), 'kube-proxy has 2 of 3 ready'],
  ['not observed by its controller yet', set(3, 3, 0), 'kube-proxy is being changed'],
  ['parked on no machine by a node selector', set(0, 0), undefined],
]
for (const [title, workload, reason] of rows)
  test(`a daemon set that is ${title}: ${reason ?? 'rolled out'}`, () => {
    assert.is(rolloutProblem(['kube-proxy'], [workload]), reason)
  })

test('workloads that Talos did not install are not looked at', () => {
  assert.is(rolloutProblem([], [set(3, 0)]), undefined)
})

test.run()
