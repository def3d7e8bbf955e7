import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { renderPatch } from '../../src/config/contract.ts'
import { planConfigUpdate } from '../../src/config/config-update.ts'
import { renderConfigs } from '../../src/config/machine-config.ts'
import { createSecrets } from '../../src/generated/create-secrets.ts'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { hasTalosctl } from '@talosmith/clients/testing'

const test = suite('contracts')
const root = temporaryFolder('contracts')
const clusterOf = (version: string, over: Readonly<Record<string, string>> = {}) =>
  testCluster(
    {
      TALOS_VERSION: version,
      CONTROL_PLANE_COUNT: '3',
      WORKER_COUNT: '1',
      CLUSTER_VIP: '10.0.0.60',
      KUBERNETES_VERSION: 'v1.32.0',
      ...over,
    },
    root,
  )
const newest = clusterOf('v1.13.9')
const isThere = await hasTalosctl(newest)
const it = isThere ? test : test.skip
const noPatches = { byNode: new Map(), used: [], unused: [], misplaced: [], manifests: {} }

/** A client makes the forms of its own minor and of those before. */
const versions = ['v1.9.6', 'v1.10.9', 'v1.11.6', 'v1.12.11', 'v1.13.9']

/** What differs: a machine's role, and whether control planes are all there is. */
const parts = [
  ['controlplane', 'controlplane', {}],
  ['worker', 'worker', {}],
  ['alone', 'controlplane', { WORKER_COUNT: '0' }],
] as const
const rendered = new Map<string, string>()

async function talosctl(): Promise<Talosctl> {
  return openTalosctl(newest)
}

test.before(async () => {
  if (isThere) await createSecrets(newest, await talosctl())
})

for (const version of [...versions, 'v1.14.2'])
  for (const [part, role, over] of parts)
    test(`our part of a config (${part}) for Talos ${version} is as it was reviewed`, () => {
      const path = join(import.meta.dirname, '..', 'golden', `${version}-${part}.yaml`)
      assert.fixture(renderPatch(clusterOf(version, over), { role }), readFileSync(path, 'utf8'))
    })

for (const version of versions)
  it(`the real talosctl makes and accepts the whole config for Talos ${version}`, async () => {
    for (const [part, role, over] of parts) {
      const cluster = clusterOf(version, over)
      const { configs } = await renderConfigs(cluster, noPatches, await talosctl())
      const node = cluster.nodes.find((one) => one.role === role)
      const text = configs.get(node?.name ?? '') ?? ''
      rendered.set(`${version}-${part}`, text)
      const [main, ...others] = parseAllDocuments(text)
      const kinds = others.map((document) => String(document.get('kind')))
      const isNew = ['v1.12.11', 'v1.13.9'].includes(version)
      assert.is(kinds.includes('Layer2VIPConfig'), isNew && role === 'controlplane')
      assert.is(kinds.includes('HostnameConfig'), isNew)
      assert.match(String(main?.getIn(['machine', 'install', 'image'])), `nocloud-installer/`)
      assert.match(String(main?.getIn(['machine', 'install', 'image'])), version)
      assert.is(main?.getIn(['machine', 'network', 'hostname']), undefined)
      const takesWorkloads = main?.getIn(['cluster', 'allowSchedulingOnControlPlanes'])
      assert.is(takesWorkloads, part === 'alone' ? true : undefined)
    }
  })

// A machine restarts with the config it has, and gets the new one afterwards.
it('every config of every version before is accepted by the newest', async () => {
  const client = await talosctl()
  assert.is(rendered.size, versions.length * parts.length)
  for (const name of rendered.keys())
    await client.offline('validate', '--mode=cloud', `--config=${written(name)}`)
})

it('what an upgraded machine lacks is its new form, its Kubernetes stays', () => {
  const [old = '', now = ''] = [
    rendered.get('v1.11.6-controlplane'),
    rendered.get('v1.13.9-controlplane'),
  ]
  const moved = now.replaceAll(':v1.32.0', ':v1.33.0')
  const { text = '' } = planConfigUpdate(moved, old, { movesInstaller: true })
  assert.match(text, 'kind: Layer2VIPConfig')
  assert.match(text, /nocloud-installer\/[0-9a-f]+:v1\.13\.9/)
  assert.match(text, 'kube-apiserver:v1.32.0')
  assert.not.match(text, 'v1.33.0')
  assert.is(planConfigUpdate(text, text, { movesInstaller: true }).text, undefined)
  // Without an upgrade the installer image stays, too.
  assert.match(planConfigUpdate(moved, old).text ?? '', /nocloud-installer\/[0-9a-f]+:v1\.11\.6/)
})

function written(name: string): string {
  const path = join(root, `${name}.yaml`)
  writeFileSync(path, rendered.get(name) ?? '', { mode: 0o600 })
  return path
}

test.run()
