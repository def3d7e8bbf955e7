import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Problem } from '../../src/problem.ts'
import { projectRoot } from '../../src/root.ts'
import { printConfigurationPage, printExampleEnv } from '../../src/settings/print.ts'
import { readSettings } from '../../src/settings/read.ts'

const smallest = 'CLUSTER_NAME=home\nNETWORK_BRIDGE=br0\n'

test('a name and a bridge are enough', () => {
  const { settings, warnings } = readSettings(smallest)
  assert.is(settings.TALOS_VERSION, 'v1.13.9')
  assert.is(settings.KUBERNETES_VERSION, 'v1.36.3')
  assert.equal(settings.LIBVIRT_URI, ['qemu:///system'])
  assert.is(settings.NETWORK_GATEWAY, '10.0.0.1')
  assert.equal(settings.NETWORK_NAMESERVERS, ['10.0.0.1'])
  assert.is(settings.HEALTH_TIMEOUT, 900)
  assert.equal(warnings, [])
})

test('an environment variable overrides the file', () => {
  assert.is(
    readSettings(`${smallest}WORKER_COUNT=2\n`, { WORKER_COUNT: '5' }).settings.WORKER_COUNT,
    5,
  )
})

test('an empty environment variable clears the setting of the file', () => {
  const file = `${smallest}NFS_SERVER=10.0.0.5\nNFS_SHARE=/srv\n`
  assert.is(readSettings(file, { NFS_SERVER: '' }).settings.NFS_SERVER, undefined)
})

test('settings from the environment are listed, and values that may hold a secret are not shown', () => {
  const shell = {
    CLUSTER_NAME: 'prod',
    NFS_SERVER: '',
    TALOS_KERNEL_ARGS: 'talos.config=https://host/x?token=abc',
    UPGRADE_GATE_COMMAND: 'check --token abc',
  }
  assert.equal(readSettings(smallest, shell).fromShell, [
    { text: 'CLUSTER_NAME=prod', overrides: true },
    { text: 'TALOS_KERNEL_ARGS=...', overrides: false },
    { text: 'NFS_SERVER=', overrides: false },
    { text: 'UPGRADE_GATE_COMMAND=...', overrides: false },
  ])
  assert.equal(readSettings(smallest).fromShell, [])
})

test('an invalid value from the environment is reported as coming from there', () => {
  try {
    readSettings(smallest, { WORKER_COUNT: 'many', CLUSTER_VIP: '10.0.0.1' }, 'env/home.env')
    assert.unreachable()
  } catch (error) {
    const { because, hint } = error as Problem
    assert.match(because ?? '', /WORKER_COUNT: "many" is not .* \(from the environment\)/)
    assert.match(
      because ?? '',
      /CLUSTER_VIP: 10\.0\.0\.1 is NETWORK_GATEWAY.* \(from the environment\)/,
    )
    assert.match(hint ?? '', 'unset WORKER_COUNT CLUSTER_VIP in your shell')
  }
})

test('a network of pods or services is allowed when a patch moves those', () => {
  const file = `${smallest}NETWORK_CIDR=10.100.0.0/24\n`
  assert.throws(() => readSettings(file), /invalid/)
  assert.is(
    readSettings(file, {}, 'it', { patchedSubnets: true }).settings.NETWORK_GATEWAY,
    '10.100.0.1',
  )
})

test('what serves the machines may be the gateway or the KVM host', () => {
  const file = `${smallest}NFS_SHARE=/srv\nLIBVIRT_URI=qemu+ssh://10.0.0.2/system\n`
  for (const server of ['10.0.0.1', '10.0.0.2', '10.0.0.9', 'nas.lan', 'nas'])
    readSettings(
      `${file}NFS_SERVER=${server}\nNETWORK_NAMESERVERS=10.0.0.1,10.0.0.2,1.1.1.1\nCLUSTER_ENDPOINT=${server}\n`,
    )
  readSettings(`${file}CLUSTER_ENDPOINT=10.0.0.70\n`)
  readSettings(`${file}NETWORK_GATEWAY=10.0.0.2\n`)
})

test('many machines that collide are one error', () => {
  try {
    readSettings(`${smallest}CONTROL_PLANE_COUNT=7\nWORKER_COUNT=90\nWORKER_IP_OFFSET=70\n`)
    assert.unreachable()
  } catch (error) {
    assert.is((error as Problem).because?.trim().split('\n').length, 1)
  }
})

test('environment variables that are not settings are ignored', () => {
  assert.is(
    readSettings(smallest, { EDITOR: 'vi', FAVOURITE_COLOUR: 'blue' }).settings.CLUSTER_NAME,
    'home',
  )
})

test('a version may be written without its v', () => {
  assert.is(readSettings(`${smallest}TALOS_VERSION=1.12.11`).settings.TALOS_VERSION, 'v1.12.11')
  assert.is(readSettings(`${smallest}NFS_CSI_VERSION=v4.13.4`).settings.NFS_CSI_VERSION, '4.13.4')
})

for (const [talos, kubernetes] of [
  ['v1.9.5', 'v1.32.3'],
  ['v1.10.0', 'v1.33.0'],
  ['v1.11.0', 'v1.34.0'],
  ['v1.11.6', 'v1.34.1'],
  ['v1.12.0', 'v1.35.0'],
  ['v1.12.4', 'v1.35.0'],
  ['v1.12.11', 'v1.35.4'],
  ['v1.13.0', 'v1.36.3'],
  ['v1.13.9', 'v1.36.3'],
  ['v1.14.1', 'v1.37.0'],
] as const)
  test(`the default Kubernetes version of Talos ${talos} is ${kubernetes}`, () => {
    const { settings } = readSettings(`${smallest}TALOS_VERSION=${talos}`)
    assert.is(settings.KUBERNETES_VERSION, kubernetes)
  })

test('all errors of a file are reported at once', () => {
  const file = 'CLUSTER_NAME=Home\nWORKR_COUNT=1\nCONTROL_PLANE_COUNT=2\nUEFI=maybe\n'
  try {
    readSettings(file)
    assert.unreachable()
  } catch (error) {
    const errors = (error as Problem).because?.trim().split('\n') ?? []
    assert.equal(errors.map((line) => String(line.split(':')[0])).sort(), [
      'CLUSTER_NAME',
      'CONTROL_PLANE_COUNT',
      'NETWORK_BRIDGE',
      'UEFI',
      'WORKR_COUNT',
    ])
  }
})

test('a VIP with one control plane is allowed, with a warning', () => {
  assert.match(
    readSettings(`${smallest}CLUSTER_VIP=10.0.0.9`).warnings[0] ?? '',
    'with one control plane',
  )
})

test('env/example.env is what the schema prints', () => {
  assert.is(readFileSync(join(projectRoot, 'env', 'example.env'), 'utf8'), printExampleEnv())
})

test('docs/configuration.md is what the schema prints', () => {
  assert.is(
    readFileSync(join(projectRoot, 'docs', 'configuration.md'), 'utf8'),
    printConfigurationPage(),
  )
})

test('env/example.env is valid as it is', () => {
  assert.is(readSettings(printExampleEnv()).settings.CLUSTER_NAME, 'home')
})

test.run()
