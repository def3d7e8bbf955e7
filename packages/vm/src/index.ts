export { applyChange } from './apply.ts'
export { renderDomain } from './domain-xml.ts'
export { describeMachine } from './machine.ts'
export { observeHost, type ObservedHost } from './observe.ts'
export {
  planCreate,
  planDestroy,
  planRemoveSeeds,
  planStart,
  planStop,
  type VmChange,
} from './plan.ts'
export { describeSeed } from './seed-iso.ts'
