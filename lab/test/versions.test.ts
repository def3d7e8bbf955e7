import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadCluster, projectRoot } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { talosVersions } from '../src/factory/catalogue.ts'
import { pinnedModule, versions } from '../src/versions.ts'

const { settings: defaults } = testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv' })
const read = (...path: string[]): string => readFileSync(join(projectRoot, ...path), 'utf8')

test('the lab uses the default versions of a cluster', async () => {
  assert.is(versions.talos, defaults.TALOS_VERSION)
  assert.is(versions.kubernetes, defaults.KUBERNETES_VERSION)
  const { cluster } = await loadCluster(projectRoot, 'lab', {})
  assert.is(cluster.settings.TALOS_VERSION, versions.talos)
  assert.is(cluster.settings.KUBERNETES_VERSION, versions.kubernetes)
  assert.is(talosVersions.at(-1), versions.talos)
})

test('go.mod pins one version for each program', () => {
  assert.is(pinnedModule('github.com/siderolabs/talos'), versions.talos)
  for (const part of ['k8s.io/component-base', 'k8s.io/kubectl'])
    assert.is(pinnedModule(part), versions.kubernetes.replace('v1.', 'v0.'))
})

test('the chart of the lab has the default version', () => {
  const chart = read('lab', 'chart', 'csi-driver-nfs', 'Chart.yaml')
  assert.match(
    chart,
    `\nversion: ${defaults.NFS_CSI_VERSION}\nappVersion: v${defaults.NFS_CSI_VERSION}\n`,
  )
  assert.match(
    read('lab', 'chart', 'csi-driver-nfs', 'values.yaml'),
    `tag: v${defaults.NFS_CSI_VERSION}\n`,
  )
})

test('a module that is not in go.mod has no version', () => {
  assert.throws(() => pinnedModule('k8s.io/kube'), 'does not pin k8s.io/kube')
})

test.run()
