/** storage:uninstall: removes nfs-appdata and the driver; the data on the server stays. */
import { script } from '@talosmith/core'
import { uninstallStorage } from '../src/index.ts'

export default script(import.meta, {
  summary:
    'Remove nfs-appdata and the NFS driver; needs CONFIRM=<cluster> while claims are open. Data stays.',
  changes: true,
  losesData: true,
  run: uninstallStorage,
})
