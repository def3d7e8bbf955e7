/** Talos: talosctl, what machines answer to it, and how long they may take. */
export { certificateIn, talosAuthorities } from './authorities.ts'
export {
  readBootEntries,
  readBootLoader,
  readKernelArguments,
  type BootEntries,
  type BootLoader,
} from './boot-loader.ts'
export { guestAgentPort, guestAgentService, hasGuestAgentChannel } from './guest-agent.ts'
export {
  aspectProblem,
  machineProblem,
  unmetServices,
  type Aspect,
  type MachineStatus,
  type MachineStatuses,
} from './machine-status.ts'
export {
  answersOf,
  askTalos,
  observeTalos,
  probeMachines,
  reachableOf,
  type AnswersTo,
  type Probes,
} from './observe-talos.ts'
export { readFailedPulls } from './image-pulls.ts'
export { apiPort, probe, unreachableBecause, type ProbeResult } from './probe.ts'
export {
  addressesQuestion,
  extensionsQuestion,
  machineConfigQuestion,
  machineStatusQuestion,
  resourcesOf,
  tableOf,
  varUseQuestion,
  versionQuestion,
  type DiskUse,
  type Question,
} from './questions.ts'
export {
  anySchematic,
  isMachineReady,
  isRight,
  readBootId,
  readMachineStatus,
  readNode,
  readNodes,
  readRunning,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from './running-talos.ts'
export {
  grpcCode,
  parseResources,
  parseService,
  parseTable,
  parseVersions,
  silenceOf,
  talosReason,
} from './talos-output.ts'
export { openTalosctl, type Talosctl } from './talosctl.ts'
export {
  diagnosisEtcdMs,
  diagnosisTimeouts,
  etcdMs,
  etcdStateMs,
  logsMs,
  longTimeouts,
  statusTimeouts,
} from './time-limits.ts'
export { supportArguments } from './support.ts'
export { describeVolume, stateProblem, volumesQuestion, type Volume } from './volumes.ts'
