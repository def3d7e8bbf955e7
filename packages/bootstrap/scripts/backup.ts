/** bootstrap:backup: takes a snapshot of etcd and verifies it. */
import { script } from '@talosmith/core'
import { backUpEtcd } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Take a snapshot of etcd and verify it.',
  changes: true,
  run: backUpEtcd,
})
