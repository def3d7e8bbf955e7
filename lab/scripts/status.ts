/** lab:status: what of the lab runs, and what it takes. */
import { script } from '@talosmith/core'
import { kvm1 } from '../src/layout.ts'
import { observeLab, renderLab } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Show what of the lab runs, what it takes, and what is built.',
  async run({ json, answer }) {
    const seen = await observeLab(kvm1)
    answer(json ? seen : renderLab(seen))
  },
})
