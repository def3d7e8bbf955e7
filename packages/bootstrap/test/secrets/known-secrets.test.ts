import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { redactorOf } from '../../src/secrets/known-secrets.ts'
import { secretsInConfig, secretsInConfigs, stringsIn } from '../../src/secrets/secret-values.ts'

/** A secret without any form of its own. */
const markerOf = (index: number): string => `Zq${index}nightfall`

/** Files that may hold secrets, each with one of its own. */
const files = [
  'generated/production/secrets.yaml',
  'generated/production/secrets.yaml.0b1c.tmp',
  'generated/production/talosconfig',
  'generated/production/kubeconfig',
  'generated/production/kubeconfig.2',
  'generated/production/configs/production-cp1.yaml',
  'generated/production/backups/etcd-2026-11-01T00-00-00.000Z.secrets.yaml',
  'generated/production/removed/secrets.yaml',
  'generated/production/removed/configs/production-w1.yaml',
  'generated/production/archive/2026-11-01T00-00-00.000Z/secrets.yaml.2',
  'generated/production/archive/2026-11-01T00-00-00.000Z/talosconfig',
  'generated/production/work/7-0/worker.yaml',
  'env/production/patches/all.yaml',
  'env/production/patches/notes.txt',
  'env/production/manifests/cilium.yaml',
]

test('every secret file of a cluster is known, its patches and manifests, and its secret settings', async () => {
  const root = temporaryFolder('known')
  const cluster = testCluster(
    {
      CLUSTER_NAME: 'production',
      UPGRADE_GATE_COMMAND: `check-storage --user me:${markerOf(98)} "${markerOf(99)}"`,
      HOST_PROXY: `http://me:${markerOf(97)}@proxy.lan:3128`,
    },
    root,
  )
  const folder = dirname(cluster.patchesDir).replace(`${root}/`, '')
  const paths = files.map((file) => join(root, file.replace('env/production', folder)))
  paths.forEach((path, index) => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `a:\n  b: ${markerOf(index)}\n  server: ${cluster.endpoint}\n`)
  })
  const redact = await redactorOf(cluster)
  const markers = [...paths.keys(), 97, 98, 99].map(markerOf)
  for (const marker of markers)
    assert.is(redact(`it ${marker} is`), 'it [removed] is', `${marker} is not known`)
  const open = `production: admin@production at ${cluster.endpoint}, production-cp1 is 10.0.0.70`
  assert.is(redact(open), open)
})

test('every string in a file of secrets counts as one', () => {
  assert.equal(stringsIn('a: one\nb: [two, 3]\n---\nc:\n  d: three\n'), ['one', 'two', 'three'])
})

/** A config as Talos generates it, and patches; what is secret has the marker. */
const configs: [title: string, text: string][] = [
  [
    'environment',
    'machine: {env: {A_B: Zq1nightfall, http_proxy: "http://me:Zq1nightfall@proxy"}}',
  ],
  [
    'a registry',
    'machine: {registries: {config: {r.x: {auth: {username: me, password: Zq1nightfall}}}}}',
  ],
  [
    'a word as a password',
    'machine: {registries: {config: {r.x: {auth: {password: nightfallnightfall}}}}}',
  ],
  ['a misspelt key', 'machine: {pasword: Zq1nightfall}'],
  [
    'a file',
    'machine:\n  files:\n    - content: |\n        [x]\n        secret = "Zq1nightfall"\n      path: /var/x\n',
  ],
  [
    'a manifest',
    'cluster:\n  inlineManifests:\n    - name: a\n      contents: |-\n        apiVersion: v1\n        kind: Secret\n        stringData:\n          a: Zq1nightfall\n',
  ],
  [
    'a file in a manifest',
    'cluster:\n  inlineManifests:\n    - name: a\n      contents: |-\n        kind: ConfigMap\n        data:\n          a: |\n            token Zq1nightfall\n            b\n',
  ],
  [
    'an argument',
    'cluster: {apiServer: {extraArgs: {oidc-client-secret: Zq1nightfall, x: "a=Zq1nightfall"}}}',
  ],
  [
    'a WireGuard key',
    'machine: {network: {interfaces: [{wireguard: {privateKey: Zq1nightfall}}]}}',
  ],
  ['a number', 'machine: {registries: {config: {r.x: {auth: {password: 93847561}}}}}'],
  ['a patch that is no YAML', 'machine: {env: {A: "Zq1nightfall\n b: Zq1nightfall'],
  ['a JSON patch', '[{"op":"add","path":"/machine/env","value":{"A":"Zq1nightfall"}}]'],
]
for (const [title, text] of configs)
  test(`a secret in a config is known: ${title}`, () => {
    const found = secretsInConfig(text)
    assert.ok(
      found.some((one) => /^(?:Zq1nightfall|nightfallnightfall|93847561)$/.test(one)),
      found.join('\n'),
    )
  })

test('a secret in a config is known behind more values than a call takes as arguments', () => {
  const values = Array.from({ length: 70_000 }, (_, index) => `x1y2z3${index}`)
  for (const separator of ['\n', ' ']) {
    const content = [...values, 'Zq1nightfall'].join(separator)
    const found = secretsInConfig(JSON.stringify({ machine: { files: [{ content }] } }))
    assert.ok(found.includes('Zq1nightfall'))
  }
})

test('a manifest of several configs is parsed once, and is no secret as a whole', () => {
  const contents = 'kind: Secret\ndata:\n  a: Zq1nightfall\n'
  const configOf = (name: string): string =>
    JSON.stringify({ cluster: { inlineManifests: [{ name, contents }] } })
  const found = secretsInConfigs([configOf('a'), configOf('b'), contents])
  assert.ok(found.includes('Zq1nightfall'))
  assert.equal(found, secretsInConfig(contents))
})

test('a secret in a config is known beside an alias of what it is in', () => {
  assert.ok(secretsInConfig('a: &a\n  b: *a\n  token: Zq1nightfall\n').includes('Zq1nightfall'))
})

test('what every machine config has is not a secret', () => {
  const text = `version: v1alpha1
machine:
  type: controlplane
  certSANs: [10.0.0.70, "fd00::1", cluster.example.com]
  kubelet: {image: "ghcr.io/siderolabs/kubelet:v1.36.3", nodeIP: {validSubnets: [10.0.0.0/24]}}
  install: {disk: /dev/sda, image: "factory.talos.dev/installer/${'ab'.repeat(32)}:v1.13.9"}
  sysctls: {net.core.rmem_max: "2500000"}
  time: {servers: [time.cloudflare.com], bootTimeout: 2m0s}
cluster:
  network: {dnsDomain: cluster.local, podSubnets: [10.244.0.0/16]}
  apiServer:
    image: registry.k8s.io/kube-apiserver:v1.36.3
    admissionControl:
      - name: PodSecurity
        configuration: {apiVersion: pod-security.admission.config.k8s.io/v1alpha1, exemptions: {namespaces: [kube-system]}, defaults: {audit: restricted}}
    auditPolicy: {rules: [{level: Metadata}]}
`
  assert.equal(secretsInConfig(text), [])
})

test('a schema has no secrets, and what is beside it may', () => {
  const schema = 'kind: CustomResourceDefinition\nspec:\n  description: see x-1.2_3\n'
  assert.equal(secretsInConfig(schema), [])
  assert.equal(secretsInConfig(`${schema}---\nkind: Secret\ndata: {a: Zq1nightfall}\n`), [
    'Zq1nightfall',
    'Zq1nightfall',
    'Zq1nightfall',
  ])
})

test.run()
