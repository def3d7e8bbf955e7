/** The lab's Image Factory as a program: tsx serve.ts --listen <address> --url <its own URL>. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentLog } from '@talosmith/core'
import { buildInitramfs } from '../guest/initramfs.ts'
import { fetchKernel } from '../guest/kernel.ts'
import { chartFolder, factoryPort, faultsFile, labFolder } from '../layout.ts'
import { builtPath } from '../tools.ts'
import { versions } from '../versions.ts'
import { Assets } from './assets.ts'
import { kubernetesAs } from './other-version.ts'
import { createFactory } from './server.ts'

const { values } = parseArgs({ options: { listen: { type: 'string' }, url: { type: 'string' } } })
const { listen = '127.0.0.1', url = `http://${listen}:${factoryPort}` } = values
const kernel = await fetchKernel(silentLog)
const initramfs = await buildInitramfs(kernel, builtPath('lab-node'), silentLog)
const kubernetes = {
  [versions.kubernetes]: builtPath('kubelab'),
  [versions.kubernetesBefore]: kubernetesAs(versions.kubernetesBefore),
}
const server = createFactory({
  assets: new Assets({ kernel, initramfs }, url, join(labFolder, 'factory')),
  binaries: {
    etcd: { [versions.etcd]: builtPath('kubelab') },
    'kube-apiserver': kubernetes,
    'kube-controller-manager': kubernetes,
    'kube-scheduler': kubernetes,
    // The node's program is its own kubelet, for any version.
    kubelet: {
      [versions.kubernetes]: builtPath('lab-node'),
      [versions.kubernetesBefore]: builtPath('lab-node'),
    },
    'csi-provisioner': { [versions.provisioner]: builtPath('csi-provisioner') },
  },
  talosctl: { path: builtPath('talosctl'), version: versions.talos },
  chartFolder,
  faultsFile,
})
server.listen(factoryPort, listen, () => console.log(`factory at ${url}`))
