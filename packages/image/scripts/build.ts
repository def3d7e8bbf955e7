/** image:build: posts the schematic to the Image Factory and prints its ID and image URLs. */
import { checkOffer, observeFactory } from '@talosmith/clients/factory'
import { applyAll, script } from '@talosmith/core'
import { applyImageChange, planBuild } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Post the schematic to the Image Factory.',
  changes: true,
  onlyHere: true,
  async run({ cluster, log, dryRun, json, answer, showPlan, signal }) {
    const { settings, schematic, image } = cluster
    if (settings.IMAGE_PATH !== undefined)
      return log.already(`IMAGE_PATH=${settings.IMAGE_PATH} does not need the factory`)
    const offer = await observeFactory(cluster, { log, signal })
    checkOffer(cluster, offer)
    const changes = planBuild(cluster, offer)
    if (dryRun) return showPlan(changes)
    await applyAll(changes, (change) => applyImageChange(change, { cluster, log, signal }), { log })
    if (changes.length === 0) log.already('the factory has the schematic')
    const facts = { schematic: schematic.id, image: image.url, installer: image.installer }
    const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(9)} ${value}`)
    answer(json ? facts : lines.join('\n'))
  },
})
