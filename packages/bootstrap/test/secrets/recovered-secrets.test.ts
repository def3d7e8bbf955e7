import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import {
  judgeCandidate,
  type Candidate,
  type Evidence,
} from '../../src/secrets/recovered-secrets.ts'
import { sha256 } from '../../src/secrets/secrets.ts'

const pem = (name: string): string => `-----BEGIN CERTIFICATE-----\n${name}\n`
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const pair = (name: string) => ({ crt: base64(pem(name)), key: 'TOPSECRET' })
const complete = {
  cluster: { id: 'i', secret: 'TOPSECRET' },
  secrets: { bootstraptoken: 'TOPSECRET' },
  trustdinfo: { token: 'TOPSECRET' },
  certs: {
    ...{ etcd: pair('etcd'), k8s: pair('kube'), k8saggregator: pair('front'), os: pair('talos') },
    k8sserviceaccount: { key: 'TOPSECRET' },
  },
}
const text = stringify(complete)
const without = (certs: object): string =>
  stringify({ ...complete, certs: { ...complete.certs, ...certs } })
const none = { ours: [], foreign: [] }
const copy = 'copy' as const
const config = 'machine config' as const

const rows: [string, Candidate['kind'], string, Evidence, boolean, RegExp][] = [
  [
    'with the CA of both access files',
    copy,
    text,
    { talosCa: pem('talos'), kubernetesCa: pem('kube'), machines: none },
    true,
    /the CA of the talosconfig, the CA of the kubeconfig/,
  ],
  [
    'with another CA than the talosconfig',
    config,
    text,
    { talosCa: pem('other'), machines: none },
    false,
    /the talosconfig has another CA/,
  ],
  [
    'with another CA than the kubeconfig',
    config,
    text,
    { talosCa: pem('talos'), kubernetesCa: pem('other'), machines: none },
    false,
    /the kubeconfig has another CA/,
  ],
  [
    'with the checksum of the lost file',
    copy,
    text,
    { digest: sha256(text), machines: none },
    true,
    /checksum/,
  ],
  [
    'that a machine confirms',
    copy,
    text,
    { machines: { ours: ['home-cp1'], foreign: ['home-w1'] } },
    true,
    /certificate of home-cp1/,
  ],
  [
    'a copy of an unknown time',
    copy,
    text,
    { digest: 'other', machines: none },
    false,
    /nothing confirms/,
  ],
  [
    'a machine config, with nothing to compare',
    config,
    text,
    { machines: none },
    true,
    /no access file is left/,
  ],
  [
    'a machine config that the machines contradict',
    config,
    text,
    { machines: { ours: [], foreign: ['home-cp1'] } },
    false,
    /home-cp1 has a certificate of another CA/,
  ],
  [
    'of a worker, without keys',
    config,
    without({ etcd: null }),
    { talosCa: pem('talos'), machines: none },
    false,
    /it lacks certs\.etcd\.crt/,
  ],
  [
    'with an empty key',
    config,
    without({ os: { ...pair('talos'), key: '' } }),
    { talosCa: pem('talos'), machines: none },
    false,
    /it lacks certs\.os\.key/,
  ],
  [
    'a file of another kind',
    copy,
    'certs: {os: {crt: TOPSECRET',
    { machines: none },
    false,
    /no Talos secrets/,
  ],
]
for (const [title, kind, candidate, evidence, isAccepted, because] of rows)
  test(`${isAccepted ? 'accepts' : 'refuses'} secrets ${title}`, () => {
    const verdict = judgeCandidate({ source: 'x', kind, text: candidate }, evidence)
    assert.is(verdict.isAccepted, isAccepted)
    assert.match(verdict.because, because)
    assert.not.match(verdict.because, 'TOPSECRET')
  })

test.run()
