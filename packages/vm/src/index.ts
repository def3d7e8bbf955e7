/** The virtual machines of a cluster: observe, check, plan and apply. */
export { applyVmChange, type VmApplyContext } from './apply.ts'
export { hostNetworks, isElsewhere, isProven, settingsFor } from './check-network.ts'
export { findMissingImages, findProblems, findWarnings, refuse, type HostWarning } from './check.ts'
export { renderDomain } from './domain-xml.ts'
export { editDomain } from './edit-domain.ts'
export { observeHostEvidence, type HostEvidence, type MachineEvidence } from './evidence.ts'
export { dropChannels, observeHosts, startMachines, stopMachines } from './flow.ts'
export { typeFor } from './host-facts.ts'
export { lostDiskProblem } from './lost-disks.ts'
export { describeMachine, type Machine } from './machine.ts'
export { checkHosts, findOtherHosts, hostsFile } from './made-on.ts'
export { strangerProblems, type Identity } from './ownership.ts'
export { observeHost, type ObservedDomain, type ObservedHost } from './observe.ts'
export { parseDomain, type ParsedDomain } from './parse-domain.ts'
export { domainOf, hostOf, clusterDomains, pathsOf, withPlaces, withoutMachines } from './place.ts'
export {
  observeDetails,
  tryMachine,
  type ForwardFilter,
  type HostDetails,
  type Trial,
} from './preflight.ts'
export { createsMachines, planCreate, planDropChannels } from './plan-create.ts'
export { planDestroy, planRemoveSeeds } from './plan-destroy.ts'
export { planMachineStart, planMachineStop } from './plan-power.ts'
export type { VmChange } from './vm-change.ts'
export { bootPreviousVersion, keepPreviousVersion } from './previous-version.ts'
export { recreateMachines } from './recreate.ts'
export { describeSeed, seedLabels, type Seed } from './seed-iso.ts'
export { describeMachineStatus, renderMachineStatus, type StatusRow } from './status.ts'
export { observeOwnedResources, type OwnedResource } from './owned-resources.ts'
export { describeUntouched } from './untouched.ts'
