/** image:build: makes the schematic known to the Image Factory and says what it is called there. */
import { applyAll, script } from '@talosmith/core'
import { applyChange, checkOffer, observeFactory, planBuild } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Make the schematic known to the Image Factory.',
  changes: true,
  async run({ cluster, log, dryRun, showPlan, signal }) {
    if (cluster.settings.IMAGE_PATH !== undefined)
      return void log.already('IMAGE_PATH is set: no factory needed')
    const offer = await observeFactory(cluster)
    checkOffer(cluster, offer)
    const changes = planBuild(cluster, offer)
    if (dryRun) return showPlan(changes)
    await applyAll(changes, (change) => applyChange(change, { cluster, log, signal }), { log })
    if (changes.length === 0) log.already(`the factory knows schematic ${cluster.schematic.id}`)
    log.info(`   image ${cluster.image.url}`)
    log.info(`   installer ${cluster.image.installer}`)
  },
})
