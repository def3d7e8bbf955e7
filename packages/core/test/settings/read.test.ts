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

test('the default Kubernetes version is that of the Talos version', () => {
  assert.is(readSettings(`${smallest}TALOS_VERSION=v1.12.0`).settings.KUBERNETES_VERSION, 'v1.35.0')
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
