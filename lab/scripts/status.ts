/** lab:status: shows which parts of the lab run, and the resources they use. */
import { script } from '@talosmith/core'
import { kvm1 } from '../src/layout.ts'
import { observeLab, renderLab } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Show which parts of the lab run, the resources they use, and which tools are built.',
  async run({ json, answer }) {
    const status = await observeLab(kvm1)
    answer(json ? status : renderLab(status))
  },
})
