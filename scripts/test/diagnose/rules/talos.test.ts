import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses } from '../../../diagnose/find.ts'
import { testDiagnosed, testNotDiagnosed } from '../../support/diagnosed.ts'
import {
  cluster,
  observedWith,
  type Parts,
  service,
  starting,
  up,
  w1,
} from '../../support/observed-cluster.ts'

const refusedByApi =
  'E1127 kubelet_node_status.go:107] "Unable to register node with API server" err="Post \\"https://127.0.0.1:7445/api/v1/nodes\\": tls: failed to verify certificate: x509: certificate signed by unknown authority" node="home-w1"'

const refusedByRegistry =
  'E1127 log.go:32] "PullImage from image service failed" err="failed to pull image: Head \\"https://registry.example/v2/app/manifests/1\\": tls: failed to verify certificate: x509: certificate signed by unknown authority"'

const kubeletPulls = (words: string): Parts => ({
  talos: {
    [w1]: {
      ...starting,
      services: [
        service(
          'kubelet',
          'Failed',
          '?',
          `Failed to run pre stage: failed to pull image "ghcr.io/siderolabs/kubelet:v1.36.3": ${words}`,
        ),
      ],
    },
  },
})

testDiagnosed([
  ['a machine without config', { probes: { [w1]: 'maintenance' } }, [`NO_CONFIG ${w1}`]],
  ['a clock that is ahead', { talos: { [w1]: { clockAheadS: 3600 } } }, [`CLOCK_SKEWED ${w1}`]],
  ['a clock that is behind', { talos: { [w1]: { clockAheadS: -90 } } }, [`CLOCK_SKEWED ${w1}`]],
  [
    'an image that cannot be pulled',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service(
              'kubelet',
              'Preparing',
              '?',
              'failed to pull image "ghcr.io/x": lookup ghcr.io: no such host',
            ),
          ],
        },
      },
    },
    [`IMAGE_PULL_FAILS ${w1}`],
  ],
  [
    'a failing pull of etcd that only the log of Talos tells',
    {
      talos: {
        'home-cp3': {
          ...starting,
          services: [service('etcd', 'Preparing', '?', 'Running pre state')],
          pulls: [
            'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": 401 Unauthorized',
            'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": lookup registry.k8s.io: no such host',
          ],
        },
      },
    },
    ['IMAGE_PULL_FAILS home-cp3'],
  ],
  [
    'a kubelet with another CA',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service('kubelet', 'Running', 'OK', 'Health check successful', [refusedByApi]),
          ],
        },
      },
      api: { nodes: up([]) },
    },
    [`KUBELET_REFUSED ${w1}`],
  ],
  [
    'a kubelet that was stopped',
    {
      talos: {
        [w1]: { services: [service('kubelet', 'Finished', '?', 'Service finished successfully')] },
      },
    },
    [`KUBELET_STOPPED ${w1}`],
  ],
  [
    'an etcd member that was stopped',
    { talos: { 'home-cp3': { services: [service('etcd', 'Finished')] } } },
    ['ETCD_STOPPED home-cp3'],
  ],
  [
    'a diagnostic warning of Talos',
    {
      talos: { [w1]: { diagnostics: ['host and Kubernetes pod/service CIDR addresses overlap'] } },
    },
    [`TALOS_COMPLAINS ${w1}`],
  ],
  [
    'a config that is in memory only',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [],
          failedVolumes: [{ id: 'STATE', phase: 'failed', error: 'no disks matched' }],
        },
      },
    },
    [`VOLUME_FAILED ${w1}`],
  ],
  [
    'a user volume that failed',
    { talos: { [w1]: { failedVolumes: [{ id: 'u-data', phase: 'failed', error: undefined }] } } },
    [`VOLUME_FAILED ${w1}`],
  ],
  ['a full disk', { talos: { [w1]: { disk: { sizeGb: 10, usedGb: 9.9 } } } }, [`DISK_FULL ${w1}`]],
  [
    'an extension that failed',
    {
      talos: { [w1]: { services: [service('ext-iscsid', 'Failed', '?', 'exit code 1', ['no'])] } },
    },
    [`SERVICE_FAILED ${w1}`],
  ],
  [
    'a service of Talos that was stopped',
    { talos: { [w1]: { services: [service('cri', 'Finished', '?', 'Service finished')] } } },
    [`SERVICE_FAILED ${w1}`],
  ],
  [
    'an install disk that the machine does not have',
    { talos: { [w1]: { diskPaths: ['/dev/sda', '/dev/disk/by-id/x'] } } },
    [`INSTALL_DISK_WRONG ${w1}`],
  ],
  [
    'a machine config that does not match the settings',
    {
      more: {
        plans: up({
          plans: new Map([
            [
              w1,
              up({
                change: {
                  kind: 'update-config',
                  target: w1,
                  summary: 'Update the machine config of home-w1',
                  risk: 'none',
                },
                text: '',
                held: [],
              }),
            ],
          ]),
        }),
      },
    },
    [`OLD_CONFIG ${w1}`],
  ],
])

testNotDiagnosed([
  [
    'a machine whose services are starting',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service('kubelet', 'Preparing', '?', 'Running pre state'),
            service('etcd', 'Waiting', '?', 'Waiting for service "cri"'),
          ],
        },
      },
    },
  ],
  [
    'a guest agent with a channel that is still waiting',
    {
      talos: {
        [w1]: { ...starting, services: [service('ext-qemu-guest-agent', 'Waiting', '?', 'x')] },
      },
    },
  ],
  [
    'a kubelet that is not authorized yet',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [service('kubelet', 'Running', 'Fail', 'health', ['Unauthorized (401)'])],
        },
      },
    },
  ],
  [
    'an extension service that has finished',
    { talos: { [w1]: { services: [service('ext-once', 'Finished', '?', 'Service finished')] } } },
  ],
  ...['rebooting', 'shutting down', 'upgrading', 'resetting'].map((stage): [string, Parts] => [
    `services that stop while the machine is ${stage}`,
    {
      talos: {
        'home-cp1': {
          status: { stage, status: { ready: false, unmetConditions: null } },
          services: [service('etcd', 'Finished'), service('kubelet', 'Finished')],
        },
      },
    },
  ]),
  [
    'errors of the kubelet about images of pods',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [service('kubelet', 'Running', 'Fail', 'health', [refusedByRegistry])],
        },
      },
      api: { nodes: up([]) },
    },
  ],
  [
    'an old refusal in the log of a kubelet whose node is Ready',
    {
      talos: {
        [w1]: { ...starting, services: [service('kubelet', 'Running', 'OK', '', [refusedByApi])] },
      },
    },
  ],
  ['disks that are not reported', { talos: { [w1]: { diskPaths: [] } } }],
  ['a clock a few seconds off', { talos: { [w1]: { clockAheadS: 20 } } }],
])

test('the remedy of an ended service is one that Talos accepts', () => {
  const remedyOf = (id: string, machine: string): string => {
    const talos = { [machine]: { services: [service(id, 'Failed')] } }
    const [found] = findCauses(cluster, observedWith({ talos })).diagnoses
    return found?.remedy.at(-1) ?? ''
  }
  assert.match(remedyOf('kubelet', w1), /service kubelet start$/)
  assert.match(remedyOf('ext-iscsid', w1), /service ext-iscsid start$/)
  assert.match(remedyOf('etcd', 'home-cp3'), /-n 10\.0\.0\.72 reboot$/)
  assert.match(remedyOf('trustd', 'home-cp3'), / reboot$/)
})

test('the last failed pull of the very service is the reason shown', () => {
  const pulls = [
    'retrying error: failed to pull image "ghcr.io/siderolabs/kubelet:v1.36.3": EOF',
    'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": not found',
  ]
  const services = [service('kubelet', 'Preparing', '?', 'Running pre state')]
  const parts: Parts = { talos: { [w1]: { ...starting, services, pulls } } }
  const [found] = findCauses(cluster, observedWith(parts)).diagnoses
  assert.is(found?.code, 'IMAGE_PULL_FAILS')
  assert.match(found?.cause ?? '', 'the registry does not answer')
  assert.match(found?.evidence.at(-1) ?? '', 'kubelet:v1.36.3')
})

for (const [words, why] of [
  [
    'dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host',
    'the name of the registry cannot be resolved',
  ],
  [
    'proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused',
    'the proxy refuses the connection',
  ],
  ['tls: failed to verify certificate: x509: unknown authority', 'is not trusted'],
  ['unexpected status: 404 Not Found', 'the registry does not have the image'],
  ['dial tcp 10.0.0.9:443: i/o timeout', 'the registry does not answer'],
] as const)
  test(`an image that cannot be pulled with "${words}": ${why}`, () => {
    const [found] = findCauses(cluster, observedWith(kubeletPulls(words))).diagnoses
    assert.is(found?.code, 'IMAGE_PULL_FAILS')
    assert.match(found?.cause ?? '', why)
  })

test.run()
