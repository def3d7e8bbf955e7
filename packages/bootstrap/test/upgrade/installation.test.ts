import { testCluster } from '@talosmith/core/testing'
import { anySchematic, isRight } from '@talosmith/clients/talos'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  installationOf,
  ownInstallerOf,
  refuseUnknownInstaller,
  usesFactory,
} from '../../src/upgrade/installation.ts'
import { planSteps, planUpgrade } from '../../src/upgrade/plan-upgrade.ts'
import type { ObservedUpgrade } from '../../src/upgrade/observe-upgrade.ts'

const other = 'a'.repeat(64)
const plain = testCluster({ TALOS_VERSION: 'v1.13.9', WORKER_COUNT: '1' })
const ofFile = testCluster({
  TALOS_VERSION: 'v1.13.9',
  WORKER_COUNT: '1',
  IMAGE_PATH: '/srv/talos/own.raw',
})
const factory = (id: string, version: string): string =>
  `factory.talos.dev/nocloud-installer/${id}:${version}`

const rows: [
  string,
  typeof plain,
  string | undefined,
  string | undefined,
  string | undefined,
  string,
][] = [
  [
    'the settings',
    plain,
    other,
    undefined,
    factory(plain.schematic.id, 'v1.12.11'),
    plain.schematic.id,
  ],
  [
    'an image of the same factory',
    ofFile,
    plain.schematic.id,
    undefined,
    factory(plain.schematic.id, 'v1.12.11'),
    plain.schematic.id,
  ],
  ['an image of another schematic', ofFile, other, undefined, factory(other, 'v1.12.11'), other],
  ['an image of no factory', ofFile, undefined, undefined, undefined, anySchematic],
  [
    'an installer of a registry',
    ofFile,
    undefined,
    'registry.lan:5000/talos/installer:v1.13.9-drivers',
    'registry.lan:5000/talos/installer:v1.12.11-drivers',
    anySchematic,
  ],
  [
    'an installer of another factory',
    plain,
    plain.schematic.id,
    `factory.lan/nocloud-installer/${other}:v1.13.9`,
    `factory.lan/nocloud-installer/${other}:v1.12.11`,
    other,
  ],
]
for (const [what, cluster, schematic, ownInstaller, image, expected] of rows)
  test(`${what} upgrades with ${image ?? 'no known installer'}`, () => {
    const target = installationOf(cluster, { facts: { schematic }, ownInstaller }, 'v1.12.11')
    assert.equal(target, { version: 'v1.12.11', schematic: expected, image })
  })

test('the installer of a patch is found in the desired config, that of the factory is not its own', () => {
  const config = (image: string): string => `machine: {install: {image: '${image}'}}\n`
  assert.is(ownInstallerOf(plain, config('registry.lan/x:v1')), 'registry.lan/x:v1')
  assert.is(ownInstallerOf(plain, config(plain.image.installer)), undefined)
  const document = `machine: {}\n---\nkind: UnattendedInstallConfig\ninstaller: {image: 'registry.lan/x:v1'}\n`
  assert.is(ownInstallerOf(plain, document), 'registry.lan/x:v1')
  assert.is(ownInstallerOf(plain, undefined), undefined)
})

const observed = (
  schematic: string | undefined,
  talosVersion: string,
  ownInstaller?: string,
): ObservedUpgrade => ({
  machines: ofFile.nodes.map((node) => ({
    node,
    facts: {
      talosVersion,
      schematic,
      extensions: ['own'],
      platform: 'nocloud',
      machine: undefined,
    },
    config: '',
    kubelet: ofFile.settings.KUBERNETES_VERSION,
    kubernetes: ofFile.settings.KUBERNETES_VERSION,
    ownInstaller,
    begun: undefined,
  })),
  leader: undefined,
  offered: undefined,
  removedApis: [],
})

for (const [what, schematic] of [
  ['no factory', undefined],
  ['another schematic', other],
] as const)
  test(`machines of IMAGE_PATH with an image of ${what} are not reinstalled`, () => {
    assert.equal(planSteps(ofFile, observed(schematic, 'v1.13.9')), [])
  })

test('a newer Talos is installed with the image of the patch, and without a factory', () => {
  const own = 'registry.lan/installer:v1.13.9'
  const upgradable = observed(undefined, 'v1.12.11', own)
  const steps = planSteps(ofFile, upgradable)
  assert.equal(steps, [{ kind: 'talos', from: 'v1.12.11', to: 'v1.13.9' }])
  const changes = planUpgrade(ofFile, upgradable, steps, undefined)
  assert.ok(changes.some(({ to }) => to === `v1.13.9 (${own})`))
  assert.not.throws(() => refuseUnknownInstaller(ofFile, upgradable.machines))
  assert.not.ok(upgradable.machines.some((machine) => usesFactory(ofFile, machine)))
})

test('an image of no factory is not overwritten by the installer of a factory', () => {
  const { machines } = observed(undefined, 'v1.12.11')
  assert.throws(
    () => refuseUnknownInstaller(ofFile, machines),
    (error: { code?: string }) => error.code === 'INSTALLER_UNKNOWN',
  )
})

for (const [installer, because] of [
  ['registry.lan/installer:v1.12.11', 'it is Talos v1.12.11, and TALOS_VERSION is v1.13.9'],
  [`factory.talos.dev/metal-installer/${other}:v1.13.9`, 'for the platform metal'],
  ['ghcr.io/siderolabs/installer:v1.13.9', 'for the platform metal'],
] as const)
  test(`a patch's installer ${installer} is refused`, () => {
    const { machines } = observed(undefined, 'v1.12.11', installer)
    assert.throws(
      () => refuseUnknownInstaller(ofFile, machines),
      (error: { code?: string; because?: string }) =>
        error.code === 'INSTALLER_UNKNOWN' && error.because?.includes(because) === true,
    )
  })

test('what is in an own image is not compared, its version is', () => {
  const facts = { talosVersion: 'v1.13.9', schematic: undefined }
  assert.ok(isRight(facts, { version: 'v1.13.9', schematic: anySchematic }))
  assert.not.ok(isRight(facts, { version: 'v1.13.8', schematic: anySchematic }))
})

test.run()
