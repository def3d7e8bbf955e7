/** bootstrap:start: bootstraps etcd once, and fetches the kubeconfig. */
import { script } from '@talosmith/core'
import { startCluster } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Bootstrap etcd, once per cluster, and fetch the kubeconfig.',
  changes: true,
  run: startCluster,
})
