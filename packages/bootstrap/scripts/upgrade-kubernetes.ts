/** bootstrap:upgrade-kubernetes: upgrades Kubernetes to KUBERNETES_VERSION, minor by minor. */
import { script } from '@talosmith/core'
import { upgradeKubernetes } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Upgrade Kubernetes to KUBERNETES_VERSION, minor by minor.',
  changes: true,
  run: upgradeKubernetes,
})
