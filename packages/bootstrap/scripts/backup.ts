/** bootstrap:backup: backs up etcd and verifies the backup. */
import { script } from '@talosmith/core'
import { backUpEtcd } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Back up etcd and verify the backup.',
  changes: true,
  run: backUpEtcd,
})
