/** Builds helm as a process of its own, while the machines come up. */
import { createLog } from '@talosmith/core'
import { buildHelm } from './lab.ts'

await buildHelm(createLog())
