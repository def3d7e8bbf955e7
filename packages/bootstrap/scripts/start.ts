/** bootstrap:start: bootstraps etcd once, and fetches the kubeconfig. */
import { script } from '@talosmith/core'
import { startCluster } from '../src/index.ts'

export default script(import.meta, {
  summary:
    'Bootstrap etcd, once per cluster, and fetch the kubeconfig; needs CONFIRM=<cluster> when the cluster has run before.',
  changes: true,
  losesData: true,
  run: startCluster,
})
