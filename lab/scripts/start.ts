/** lab:start: starts the lab when the selected cluster is the lab's; otherwise does nothing. */
import { script } from '@talosmith/core'
import { startLab } from '../src/lab.ts'
import { kvm1 } from '../src/layout.ts'

export default script(import.meta, {
  summary: 'Bring the lab up, when the selected cluster lives there; otherwise do nothing.',
  async run({ cluster, log }) {
    if (!cluster.settings.LIBVIRT_URI.some((uri) => uri.includes(`@${kvm1.address}/`))) return
    await startLab(kvm1, cluster, log)
    log.already(`the lab's host is ${kvm1.address}`)
  },
})
