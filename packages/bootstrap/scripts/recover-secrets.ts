/** bootstrap:recover-secrets: recovers a lost secrets.yaml from machine configs, copies, or a running control plane. */
import { script } from '@talosmith/core'
import { recoverSecrets } from '../src/index.ts'

export default script(import.meta, {
  summary:
    'Recover a lost secrets.yaml from machine configs, copies, or a running control plane, and verify it.',
  changes: true,
  run: (context) => recoverSecrets(context),
})
