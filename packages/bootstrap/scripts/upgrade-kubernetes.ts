/** bootstrap:upgrade-kubernetes: brings Kubernetes to KUBERNETES_VERSION, minor by minor. */
import { script } from '@talosmith/core'
import { upgradeKubernetes } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Bring Kubernetes to the asked version, minor by minor.',
  changes: true,
  run: upgradeKubernetes,
})
