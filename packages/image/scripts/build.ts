/** image:build: makes the schematic known to the Image Factory and says what it is called there. */
import { checkOffer, observeFactory } from '@talosmith/clients/factory'
import { applyAll, script } from '@talosmith/core'
import { applyChange, planBuild } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Make the schematic known to the Image Factory.',
  changes: true,
  async run({ cluster, log, dryRun, json, answer, showPlan, signal }) {
    const { settings, schematic, image } = cluster
    if (settings.IMAGE_PATH !== undefined)
      return log.already(`IMAGE_PATH=${settings.IMAGE_PATH} needs no factory`)
    const offer = await observeFactory(cluster, { log, signal })
    checkOffer(cluster, offer)
    const changes = planBuild(cluster, offer)
    if (dryRun) return showPlan(changes)
    await applyAll(changes, (change) => applyChange(change, { cluster, log, signal }), { log })
    if (changes.length === 0) log.already('the factory knows the schematic')
    const facts = { schematic: schematic.id, image: image.url, installer: image.installer }
    const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(9)} ${value}`)
    answer(json ? facts : lines.join('\n'))
  },
})
