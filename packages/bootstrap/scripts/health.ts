/** bootstrap:health: waits until every condition of a healthy cluster holds. */
import { script } from '@talosmith/core'
import { waitForHealth } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Wait until the cluster is healthy; every condition has its reason.',
  waits: true,
  run: waitForHealth,
})
