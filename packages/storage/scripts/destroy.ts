/** storage:destroy: removes storage before its cluster is destroyed; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { destroyStorage } from '../src/index.ts'

export default script(import.meta, {
  summary:
    'Remove nfs-appdata and the NFS driver from a cluster that is destroyed; needs CONFIRM=<cluster>. Data stays.',
  changes: true,
  losesData: true,
  run: destroyStorage,
})
