import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findTool, local, projectRoot } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments } from 'yaml'
import { packageChart } from '../chart/package.ts'

const chart = join(import.meta.dirname, '..', 'chart', 'csi-driver-nfs')
const helm = await findTool('helm', testCluster()).catch(() => undefined)

interface KubeObject {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec?: { readonly replicas?: number; readonly template?: PodTemplate }
}
interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> }
  readonly spec: {
    readonly affinity?: object
    readonly containers: readonly { name: string; image: string }[]
  }
}

test('the chart has every value of the public chart that the product sets', async () => {
  const values = parse(await readFile(join(chart, 'values.yaml'), 'utf8')) as unknown
  const source = join(projectRoot, 'packages', 'storage', 'src', 'value-names.ts')
  const names = [...(await readFile(source, 'utf8')).matchAll(/^ {2}'([\w.]+)',$/gm)]
  assert.ok(names.length > 30)
  for (const [, name = ''] of names) {
    const value = name
      .split('.')
      .reduce<unknown>(
        (level, key) => (level as Record<string, unknown> | undefined)?.[key],
        values,
      )
    assert.is.not(value, undefined, `${name} is not in the chart's values.yaml`)
  }
})

if (helm === undefined) test.skip('helm is not in the tool cache: the chart is not rendered')
else {
  const render = async (...args: string[]): Promise<KubeObject[]> => {
    const { stdout } =
      await local.$`${helm.path} template csi-driver-nfs ${chart} --namespace kube-system ${args}`
    return parseAllDocuments(stdout).map((document) => document.toJS() as KubeObject)
  }

  test('helm lint finds no problem in the chart', async () => {
    await local.$`${helm.path} lint --strict ${chart}`
  })

  test('objects, labels and images have the public names', async () => {
    const objects = await render('--set', 'controller.replicas=2')
    const find = (kind: string): KubeObject | undefined =>
      objects.find((object) => object.kind === kind)
    assert.is(find('CSIDriver')?.metadata.name, 'nfs.csi.k8s.io')
    const controller = find('Deployment')
    assert.is(controller?.metadata.name, 'csi-nfs-controller')
    assert.is(controller?.spec?.replicas, 2)
    assert.is(controller?.spec?.template?.metadata.labels['app'], 'csi-nfs-controller')
    const node = find('DaemonSet')
    assert.is(node?.metadata.name, 'csi-nfs-node')
    assert.is(node?.spec?.template?.metadata.labels['app'], 'csi-nfs-node')
    const images = [controller, node]
      .flatMap((object) => object?.spec?.template?.spec.containers ?? [])
      .map(({ image }) => image)
    assert.ok(images.includes('registry.k8s.io/sig-storage/nfsplugin:v4.13.4'))
    assert.ok(images.every((image) => image.startsWith('registry.k8s.io/sig-storage/')))
  })

  test('host mount options and snapshots follow their values', async () => {
    const text = async (...args: string[]): Promise<string> => JSON.stringify(await render(...args))
    assert.not.match(await text(), 'nfsmount.conf.d')
    assert.match(await text('--set', 'feature.propagateHostMountOptions=true'), 'nfsmount.conf.d')
    assert.match(await text(), 'csi-snapshotter')
    assert.not.match(await text('--set', 'controller.enableSnapshotter=false'), 'csi-snapshotter')
  })

  test('an affinity is rendered only with nodeSelectorTerms, as by the public chart', async () => {
    const values = join(temporaryFolder('values'), 'values.json')
    const affinityWith = async (given: object): Promise<object | undefined> => {
      await writeFile(values, JSON.stringify(given))
      const objects = await render(`--values=${values}`)
      return objects.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec.affinity
    }
    const term = { labelSelector: {}, topologyKey: 'kubernetes.io/hostname' }
    const alone = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } }
    const nodeSelectorTerms = [
      { matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] },
    ]
    const both = {
      ...alone,
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
    }
    assert.equal(await affinityWith({ controller: { affinity: both } }), both)
    assert.is(await affinityWith({ controller: { affinity: alone } }), undefined)
    const role = await affinityWith({ controller: { affinity: alone, runOnControlPlane: true } })
    assert.match(JSON.stringify(role), 'node-role.kubernetes.io/control-plane')
    assert.not.match(JSON.stringify(role), 'podAntiAffinity')
  })

  test('the repository is created once, with the version from the settings', async () => {
    const folder = join(temporaryFolder('charts'), 'charts')
    await packageChart(helm.path, folder)
    const index = await readFile(join(folder, 'index.yaml'), 'utf8')
    await packageChart(helm.path, folder)
    assert.is(await readFile(join(folder, 'index.yaml'), 'utf8'), index)
    const version = testCluster().settings.NFS_CSI_VERSION
    assert.ok((await readdir(folder)).includes(`csi-driver-nfs-${version}.tgz`))
  })
}

test.run()
