/** lab:stop: removes the lab; built tools and images stay in the user's cache. */
import { inStep, script } from '@talosmith/core'
import { stopLab } from '../src/lab.ts'
import { kvm1, kvm2 } from '../src/layout.ts'

export default script(import.meta, {
  summary: 'Remove the lab: guests, services, namespaces, disks.',
  options: { 'keep-disks': { type: 'boolean', about: "leave the machines' disks in .lab" } },
  async run({ options, log }) {
    await inStep(log, 'Remove the lab', () => stopLab([kvm1, kvm2], options['keep-disks'] === true))
  },
})
