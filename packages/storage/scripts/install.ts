/** storage:install: installs the NFS driver and nfs-appdata as configured, and verifies them with a real claim. */
import { script } from '@talosmith/core'
import { installStorage } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Install the NFS driver and the nfs-appdata StorageClass, and prove that they work.',
  changes: true,
  losesData: true,
  run: installStorage,
})
