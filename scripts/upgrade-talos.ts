/** cluster:upgrade-talos: upgrades every machine to TALOS_VERSION with its extensions and kernel arguments, one safe restart after the other. */
import { upgradeTalos } from '@talosmith/bootstrap'
import { script } from '@talosmith/core'
import { bootPreviousVersion, keepPreviousVersion } from '@talosmith/vm'

export default script(import.meta, {
  summary: 'Upgrade every machine to TALOS_VERSION, one safe restart after the other.',
  changes: true,
  run: (context) =>
    upgradeTalos({
      ...context,
      previous: {
        boot: (node) => bootPreviousVersion(context, node),
        keep: (node) => keepPreviousVersion(context, node),
      },
    }),
})
