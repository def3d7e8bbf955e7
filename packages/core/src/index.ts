/** What other packages may import from core. */
export {
  addressAt,
  addressIn,
  contains,
  isBetween,
  isIpv4,
  networkOf,
  prefixLengthOf,
  offsetOf,
  overlap,
  prefixLengthOfMask,
} from './addresses.ts'
export type { Answer } from './answer.ts'
export { applyAll, renderPlan, type Change } from './change.ts'
export { clusterIdFile, keepClusterId, readClusterId } from './cluster-id.ts'
export { controlPlanesLeft, notStarted, type LeftControlPlane } from './cluster-problems.ts'
export { codes } from './codes.ts'
export { findCollisions, type Collision } from './collisions.ts'
export {
  bootFailure,
  bootsOf,
  lastBoot,
  seedStall,
  type BootFailure,
  type BootFailureKind,
  type SeedStall,
} from './boots.ts'
export { checkConfirm } from './confirm.ts'
export {
  clusterOn,
  commandFor,
  describeCluster,
  hostFiles,
  hostLabel,
  settingOn,
  type Cluster,
  type HostFiles,
  type Image,
} from './cluster.ts'
export { withoutCredentials } from './credentials.ts'
export { consoleLog, plainLines } from './console.ts'
export { nearest } from './did-you-mean.ts'
export { generatedFiles, type Generated } from './generated.ts'
export {
  diskNamespace,
  machineNamespace,
  ownerByMetadata,
  readDomainMetadata,
  type DiskNote,
} from './host/domain-metadata.ts'
export { withHeartbeat } from './heartbeat.ts'
export {
  consoleSince,
  consoleSize,
  logFunctions,
  parseLogs,
  readConsole,
  readLogs,
  type ConsoleEnd,
  type ReadLog,
} from './host/console-log.ts'
export { machineHost } from './host/machine-host.ts'
export { hadDisk, isEmptied } from './host/emptied-folder.ts'
export { readFreeSpace } from './host/free-space.ts'
export type { Host } from './host/host.ts'
export { parseLibvirtUri } from './host/uri.ts'
export { local } from './host/local.ts'
export { openHost } from './host/open.ts'
export { poolPath } from './host/pool.ts'
export { poolFiles, poolFunctions, uploadSuffix } from './host/pool-files.ts'
export { onStorage, type Place } from './host/storage.ts'
export { virsh, virshBatch } from './host/virsh.ts'
export {
  firmwareMissing,
  hostToolsMissing,
  poolEmpty,
  poolFull,
  poolUnreadable,
} from './host-problems.ts'
export { parseLabelledLines, splitFields, type LabelledLines } from './labelled-lines.ts'
export { isRunning, readOwnBootId } from './liveness.ts'
export { withLock } from './lock.ts'
export { createLog, inStep, silentLog, type Log, type Step } from './log.ts'
export { furtherControlPlanes, nodeNamed, placeNodes, type Node, type Role } from './nodes.ts'
export { exitCodes, Problem, reasonOf, type ExitCode } from './problem.ts'
export { directToMachines, hostProxy, proxyFor, proxyOfHost } from './proxy.ts'
export { quote } from './process/command.ts'
export {
  CommandFailed,
  type Output,
  type RunOptions,
  type Shell,
  type CommandArgument,
} from './process/shell.ts'
export { createRedactor, type Redactor } from './redact.ts'
export { retry, type RetryOptions } from './retry.ts'
export { describeSchematic, type Schematic } from './schematic.ts'
export { projectRoot } from './root.ts'
export { script, type ScriptContext } from './script.ts'
export { redactShapes } from './secret-shapes.ts'
export { chooseCluster, listClusters, loadCluster } from './settings/find.ts'
export { readSettings } from './settings/read.ts'
export { secretSettings, type Settings } from './settings/schema.ts'
export {
  defaultKubernetesVersion,
  minorOf,
  newestDefaultKubernetes,
  supportedTalosMinors,
  unsupportedPair,
} from './settings/versions.ts'
export { renderTable } from './table.ts'
export { findTool, toolFolder, type Tool, type ToolName } from './tools.ts'
export {
  findUnfinishedMachines,
  regenerationFile,
  restoreFile,
  unfinishedProblem,
  type Flow,
} from './unfinished.ts'
export { minute, Unrecoverable, waitFor } from './wait.ts'
export { isUserFolder, listUserFolder, readUserFile } from './user-files.ts'
export { elementsAt, parseXml, textAt, type XmlElement, type XmlNode } from './xml.ts'
