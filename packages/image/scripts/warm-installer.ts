/** image:warm-installer: has the factory build the installer that running machines upgrade with. */
import { warmInstaller } from '@talosmith/clients/factory'
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Have the factory build the installer, so that no machine waits for it.',
  async run({ cluster, log, signal, answer }) {
    await warmInstaller(cluster, cluster.settings.TALOS_VERSION, { log, signal })
    answer(cluster.image.installer)
  },
})
