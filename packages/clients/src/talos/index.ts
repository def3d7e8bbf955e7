export {
  aspectFault,
  isReady,
  machineFault,
  readMachineStatus,
  type Aspect,
  type MachineStatus,
  type MachineStatuses,
} from './machine-status.ts'
export { apiPort, probe, type ProbeResult } from './probe.ts'
export {
  isRight,
  readBootId,
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
  type Resource,
  type ServiceState,
} from './talos-output.ts'
export { openTalosctl, type Talosctl } from './talosctl.ts'
