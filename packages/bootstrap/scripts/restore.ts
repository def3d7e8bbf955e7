/** bootstrap:restore: brings etcd back from a snapshot on control planes that have no data; cluster:restore makes them so. */
import { script } from '@talosmith/core'
import { restoreEtcd } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Bring etcd back from a snapshot, on control planes that have no data.',
  changes: true,
  options: {
    snapshot: { type: 'string', about: 'name of the snapshot; the newest when left out' },
  },
  run: (context) => restoreEtcd(context),
})
