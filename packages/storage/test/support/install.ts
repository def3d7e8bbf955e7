/** Runs an install in a process of its own, so that a test can kill it: install.ts <root> <repository> */
import { createLog } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { installStorage } from '../../src/index.ts'

const [root = '', repository = ''] = process.argv.slice(2)
const cluster = testCluster(
  { NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata', NFS_CSI_CHART: repository },
  root,
)
await installStorage({
  cluster,
  log: createLog(),
  dryRun: false,
  confirmed: false,
  showPlan: () => 0,
})
