/** vm:status: the machines of the cluster and their state on the hosts. */
import { script } from '@talosmith/core'
import { observeHosts } from '../src/flow.ts'
import { withPlaces } from '../src/place.ts'
import { describeMachineStatus, renderMachineStatus } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Show the machines of the cluster and their state on the hosts.',
  async run({ cluster, hosts, json, answer }) {
    const observed = await observeHosts(cluster, await hosts())
    const rows = describeMachineStatus(withPlaces(cluster, observed), observed)
    answer(json ? rows : renderMachineStatus(rows))
  },
})
