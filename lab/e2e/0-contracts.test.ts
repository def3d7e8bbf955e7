/**
 * The machine configs generated for a Talos minor are accepted by that minor's own packages, and by those of
 * every later one: an upgraded machine boots with its existing config. Patches are the golden files, which a
 * unit test compares with the product's; arguments are those of packages/bootstrap/src/config/machine-config.ts.
 * No lab is needed, so this runs first.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLog, local, projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { buildTool, type BuiltTool } from '../src/tools.ts'

/** The program with a minor's packages, the version in the golden files' names, and a Kubernetes for it. */
const contracts: readonly (readonly [BuiltTool, string, string])[] = [
  ['machineconfig-1.9', 'v1.9.6', '1.32.0'],
  ['machineconfig-1.10', 'v1.10.9', '1.33.0'],
  ['machineconfig-1.11', 'v1.11.6', '1.34.0'],
  ['machineconfig-1.12', 'v1.12.11', '1.35.0'],
  ['talosctl', 'v1.13.9', '1.36.0'],
  ['machineconfig-1.14', 'v1.14.2', '1.37.0'],
]
/** Golden files by their names, and the base that they are merged into. */
const parts = [
  ['controlplane', 'controlplane'],
  ['alone', 'controlplane'],
  ['worker', 'worker'],
] as const
const golden = join(projectRoot, 'packages', 'bootstrap', 'test', 'golden')
const test = suite('contracts')
const folder = temporaryFolder('contracts')
const configOf = (version: string, part: string): string => join(folder, `${version}-${part}.yaml`)
const log = createLog()

async function call(tool: BuiltTool, ...args: string[]): Promise<void> {
  await local.$`${await buildTool(tool, log)} ${args}`
}

async function validate(tool: BuiltTool, config: string): Promise<void> {
  await call(tool, 'validate', '--mode=cloud', `--config=${config}`)
}

// A cluster keeps its secrets across upgrades: those of the oldest minor are used for all.
test('secrets are generated', async () => {
  const [[oldest, version] = ['talosctl', ''] as const] = contracts
  const output = join(folder, 'secrets.yaml')
  await call(oldest, 'gen', 'secrets', '--talos-version', version, '--output-file', output)
})

for (const [tool, version, kubernetes] of contracts) {
  test(`Talos ${version} generates configs`, async () => {
    const options = {
      'with-secrets': join(folder, 'secrets.yaml'),
      'output-types': 'controlplane,worker',
      output: folder,
      'talos-version': version,
      'kubernetes-version': kubernetes,
      'install-disk': '/dev/vda',
      'install-image': `factory.talos.dev/nocloud-installer/${'ab'.repeat(32)}:${version}`,
      'additional-sans': '10.0.0.70,10.0.0.60',
      'with-docs': 'false',
      'with-examples': 'false',
      force: 'true',
    }
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
    await call(tool, 'gen', 'config', 'home', 'https://10.0.0.60:6443', ...flags)
    for (const [part, base] of parts) {
      const patch = `--patch=@${join(golden, `${version}-${part}.yaml`)}`
      const output = `--output=${configOf(version, part)}`
      await call(tool, 'machineconfig', 'patch', join(folder, `${base}.yaml`), patch, output)
    }
  })

  for (const [part] of parts)
    test(`Talos ${version} accepts the config for: ${part}`, async () => {
      await validate(tool, configOf(version, part))
    })
}

/** As `readManifests` writes the user's manifests, and the patches of operations.md#a-cni-of-your-own. */
const manifests =
  'cluster:\n  inlineManifests:\n    - name: cilium.yaml\n      contents: |\n        ---\n        apiVersion: v1\n        kind: Namespace\n        metadata: {name: a}\n'
const withoutCni = (version: string): string =>
  version.startsWith('v1.14.')
    ? '---\napiVersion: v1alpha1\nkind: KubeFlannelCNIConfig\n$patch: delete\n---\napiVersion: v1alpha1\nkind: KubeProxyConfig\nenabled: false\n'
    : '  network: {cni: {name: none}}\n  proxy: {disabled: true}\n'

for (const [tool, version] of contracts)
  test(`Talos ${version} accepts manifests instead of its CNI`, async () => {
    const patch = join(folder, `${version}-cni.patch.yaml`)
    writeFileSync(patch, `${manifests}${withoutCni(version)}`)
    const from = configOf(version, 'controlplane')
    const output = `--output=${configOf(version, 'cni')}`
    await call(tool, 'machineconfig', 'patch', from, `--patch=@${patch}`, output)
    await validate(tool, configOf(version, 'cni'))
    assert.match(readFileSync(configOf(version, 'cni'), 'utf8'), 'name: cilium.yaml')
  })

for (const [index, [tool, version]] of contracts.entries())
  if (index > 0)
    test(`Talos ${version} accepts the configs of every earlier version`, async () => {
      for (const [, before] of contracts.slice(0, index))
        for (const [part] of parts) await validate(tool, configOf(before, part))
    })

test('control planes without workers have no taint', () => {
  for (const [, version] of contracts) {
    assert.not(isSchedulable(configOf(version, 'controlplane')))
    assert.ok(isSchedulable(configOf(version, 'alone')))
  }
})

test('Talos 1.14 has every image in a document whose images the product pins', () => {
  const documents = parseAllDocuments(readFileSync(configOf('v1.14.2', 'controlplane'), 'utf8'))
  const images = documents.flatMap((document) =>
    document.hasIn(['image']) || document.hasIn(['installer', 'image'])
      ? [String(document.get('kind'))]
      : [],
  )
  assert.equal(images.sort(), [
    'KubeAPIServerConfig',
    'KubeControllerManagerConfig',
    'KubeProxyConfig',
    'KubeSchedulerConfig',
    'KubeletConfig',
    'UnattendedInstallConfig',
  ])
})

function isSchedulable(config: string): boolean {
  const documents = parseAllDocuments(readFileSync(config, 'utf8'))
  const node = documents.find((document) => document.get('kind') === 'KubeNodeConfig')
  if (node !== undefined) return !node.has('taints')
  return documents[0]?.getIn(['cluster', 'allowSchedulingOnControlPlanes']) === true
}

test.run()
