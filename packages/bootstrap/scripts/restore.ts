/** bootstrap:restore: restores etcd from a snapshot on control planes without data; cluster:restore recreates their disks first. */
import { script } from '@talosmith/core'
import { restoreEtcd } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Restore etcd from a snapshot, on control planes that have no data.',
  changes: true,
  options: {
    snapshot: { type: 'string', about: 'name of the snapshot; default: the newest' },
  },
  run: (context) => restoreEtcd(context),
})
