import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { differingPaths, planConfigUpdate } from '../../src/config/config-update.ts'

const config = (
  over: { kubernetes?: string; installer?: string; extra?: string; more?: string } = {},
) => {
  const { kubernetes = 'v1.36.3', installer = 'v1.13.9', extra = '', more = '' } = over
  return `version: v1alpha1
machine:
    type: controlplane
    kubelet:
        image: ghcr.io/siderolabs/kubelet:${kubernetes}
    install:
        disk: /dev/vda
        image: factory.talos.dev/nocloud-installer/ab12:${installer}
cluster:
    apiServer:
        image: registry.k8s.io/kube-apiserver:${kubernetes}
    controllerManager:
        image: registry.k8s.io/kube-controller-manager:${kubernetes}
    scheduler:
        image: registry.k8s.io/kube-scheduler:${kubernetes}
    proxy:
        image: registry.k8s.io/kube-proxy:${kubernetes}
${extra}---
apiVersion: v1alpha1
kind: HostnameConfig
auto: stable
${more}`
}

test('equal texts are no update', () => {
  assert.equal(planConfigUpdate(config(), config()), { text: undefined, held: [] })
})

test('order of keys and documents, comments and quotes are no update', () => {
  const [main = '', host = ''] = config().split('---\n')
  const other = `# comment\n${host}---\n${main.replace('disk: /dev/vda', 'disk: "/dev/vda"')}`
  assert.is(planConfigUpdate(config(), other).text, undefined)
})

test('a difference is sent byte for byte as it is wanted', () => {
  const desired = config({ extra: '    allowSchedulingOnControlPlanes: true\n' })
  assert.equal(planConfigUpdate(desired, config()), { text: desired, held: [] })
})

test('a document more is an update', () => {
  const desired = config({
    more: '---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 10.0.0.60\n',
  })
  assert.is(planConfigUpdate(desired, config()).text, desired)
})

test('another Kubernetes version alone is held, and nothing is sent', () => {
  const { text, held } = planConfigUpdate(config({ kubernetes: 'v1.36.4' }), config())
  assert.is(text, undefined)
  assert.equal(held, [{ what: 'Kubernetes', running: 'v1.36.3', desired: 'v1.36.4' }])
})

test('another installer alone is held', () => {
  const { text, held } = planConfigUpdate(config({ installer: 'v1.13.10' }), config())
  assert.is(text, undefined)
  assert.equal(held, [
    { what: 'the installer image', running: 'ab12:v1.13.9', desired: 'ab12:v1.13.10' },
  ])
})

test('what else differs is sent with the versions that run', () => {
  const desired = config({ kubernetes: 'v1.36.4', installer: 'v1.13.10', extra: '    x: 1\n' })
  const { text = '', held } = planConfigUpdate(desired, config())
  assert.is(held.length, 2)
  const [main, host] = parseAllDocuments(text).map((document) => document.toJS() as unknown)
  const [wanted] = parseAllDocuments(config({ extra: '    x: 1\n' }))
  assert.equal(main, wanted?.toJS())
  assert.equal(host, { apiVersion: 'v1alpha1', kind: 'HostnameConfig', auto: 'stable' })
  // Once it runs with that, there is nothing to send any more.
  assert.is(planConfigUpdate(desired, text).text, undefined)
})

test('another registry is not another version', () => {
  const desired = config().replace('registry.k8s.io/kube-proxy', 'mirror.lan:5000/kube-proxy')
  assert.equal(planConfigUpdate(desired, config()), { text: desired, held: [] })
})

test('a config without the version fields is compared as it is', () => {
  assert.is(planConfigUpdate('machine: {}\n', 'machine: {}\n# x\n').text, undefined)
  assert.is(planConfigUpdate('machine: {a: 1}\n', 'machine: {}\n').text, 'machine: {a: 1}\n')
})

/** A control plane's config as Talos 1.14 makes it, with the fields that set versions. */
const documents = (
  over: { kubernetes?: string; installer?: string; extra?: string } = {},
): string => {
  const { kubernetes = 'v1.36.3', installer = 'v1.14.1', extra = '' } = over
  const images = {
    KubeletConfig: 'ghcr.io/siderolabs/kubelet',
    KubeAPIServerConfig: 'registry.k8s.io/kube-apiserver',
    KubeControllerManagerConfig: 'registry.k8s.io/kube-controller-manager',
    KubeSchedulerConfig: 'registry.k8s.io/kube-scheduler',
    KubeProxyConfig: 'registry.k8s.io/kube-proxy',
  }
  return [
    `version: v1alpha1
machine:
    type: controlplane
${extra}`,
    `apiVersion: v1alpha1
kind: UnattendedInstallConfig
installer:
    image: factory.talos.dev/nocloud-installer/ab12:${installer}
provisioning:
    diskSelector:
        match: disk.dev_path == "/dev/vda"
`,
    ...Object.entries(images).map(
      ([kind, image]) => `apiVersion: v1alpha1\nkind: ${kind}\nimage: ${image}:${kubernetes}\n`,
    ),
  ].join('---\n')
}
const kubernetesHeld = { what: 'Kubernetes', running: 'v1.36.3', desired: 'v1.37.0' }

test('another Kubernetes version and installer in documents of their own are held', () => {
  const desired = documents({ kubernetes: 'v1.37.0', installer: 'v1.14.2' })
  const { text, held } = planConfigUpdate(desired, documents())
  assert.is(text, undefined)
  assert.equal(held, [
    { what: 'the installer image', running: 'ab12:v1.14.1', desired: 'ab12:v1.14.2' },
    kubernetesHeld,
  ])
})

test('what else differs in documents is sent with the versions that run', () => {
  const desired = documents({ kubernetes: 'v1.37.0', extra: '    token: x\n' })
  const { text = '', held } = planConfigUpdate(desired, documents())
  assert.equal(held, [kubernetesHeld])
  assert.equal(differingPaths(text, documents()), ['machine.token'])
})

test('1.13 to 1.14 keeps its Kubernetes, and takes the installer it was upgraded with', () => {
  const desired = documents({ kubernetes: 'v1.37.0' })
  const { text = '', held } = planConfigUpdate(desired, config(), { movesInstaller: true })
  assert.equal(held, [kubernetesHeld])
  assert.equal(differingPaths(text, documents()), [])
})

test('a machine of 1.14 with the form of 1.13 keeps its installer as well', () => {
  const { text = '', held } = planConfigUpdate(documents(), config())
  assert.equal(held, [
    { what: 'the installer image', running: 'ab12:v1.13.9', desired: 'ab12:v1.14.1' },
  ])
  assert.equal(differingPaths(text, documents()), ['UnattendedInstallConfig.installer.image'])
  // Whichever way round: older settings need the old form.
  const back = planConfigUpdate(config({ kubernetes: 'v1.35.0' }), documents()).text ?? ''
  assert.equal(
    differingPaths(back, config({ installer: 'v1.14.1' })).filter((path) => /image/.test(path)),
    [],
  )
})

const differences: [string, string, string, string[]][] = [
  ['nothing', config(), config(), []],
  ['nothing but the order of keys', 'a: 1\nb: 2\n', 'b: 2\na: 1\n', []],
  ['a value', config(), config({ installer: 'v1.13.8' }), ['machine.install.image']],
  ['a key that one lacks', 'a: { b: 1 }\n', 'a: { b: 1, c: 2 }\n', ['a.c']],
  ['a list, as a whole', 'a: { b: [1] }\n', 'a: { b: [1, 2] }\n', ['a.b']],
  [
    'a document that one lacks',
    config(),
    config({ more: '---\napiVersion: v1alpha1\nkind: WatchdogTimerConfig\ntimeout: 5m0s\n' }),
    ['WatchdogTimerConfig'],
  ],
  [
    'a value of a document with a name',
    '---\nkind: Layer2VIPConfig\nname: 10.0.0.60\nlink: eth0\n',
    '---\nkind: Layer2VIPConfig\nname: 10.0.0.60\nlink: eth1\n',
    ['Layer2VIPConfig/10.0.0.60.link'],
  ],
]
for (const [title, one, other, paths] of differences)
  test(`two configs differ in ${title}`, () => {
    assert.equal(differingPaths(one, other), paths)
  })

test('a path never holds a value, which may be a secret', () => {
  const paths = differingPaths('token: old-secret\n', 'token: new-secret\n')
  assert.equal(paths, ['token'])
})

test.run()
