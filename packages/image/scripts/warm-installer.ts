/** image:warm-installer: has the factory build the installer that running machines upgrade with. */
import { script } from '@talosmith/core'
import { warmInstaller } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Have the factory build the installer, so that no machine waits for it.',
  async run({ cluster, log, signal, answer }) {
    const step = log.step(
      `Have the factory build the installer of ${cluster.settings.TALOS_VERSION}`,
    )
    await warmInstaller(cluster, { log, signal }).catch((error: unknown) => {
      step.fail()
      throw error
    })
    step.done()
    answer(cluster.image.installer)
  },
})
