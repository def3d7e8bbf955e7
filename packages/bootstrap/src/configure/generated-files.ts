/** The files in generated/<cluster>: what they are and what they should be. */
import { generatedFiles, silentLog, type Cluster, type Log } from '@talosmith/core'
import { checkTalosconfig, completeTalosconfig, type AccessProblem } from '../secrets/access.ts'
import {
  configFile,
  digestInputs,
  renderConfigs,
  renderTalosconfig,
  type Configs,
} from '../config/machine-config.ts'
import {
  describeManifestChanges,
  removedManifests,
  type ManifestDigests,
} from '../config/manifests.ts'
import { readPatches, type FormerPatches } from '../config/patches.ts'
import { findOverlap, refuseOverlap } from '../config/subnets.ts'
import { archiveConfigsOfOthers, replaceAccess } from '../generated/replaced-files.ts'
import { readSecrets, sha256, type PublicSecrets } from '../secrets/secrets.ts'
import type { Talosctl } from '@talosmith/clients/talos'

/** The cluster's generated files, and the desired configs. */
export interface ObservedGeneratedFiles {
  /** Undefined: none yet. */
  readonly secrets: PublicSecrets | undefined
  /** Every node's config according to the settings; undefined without secrets. */
  readonly desired: Configs | undefined
  /** Digest of the inputs of `desired`. */
  readonly digest: string
  /** Nodes whose config in generated/ is missing or differs. */
  readonly stale: readonly string[]
  readonly talosconfig: AccessProblem | undefined
}

/**
 * Records the inputs of the configs in generated/, so that they are not generated again, and the user's patches and
 * manifests, to notice when their folder is gone.
 */
interface MadeOf extends FormerPatches {
  readonly inputs: string
  readonly files: Readonly<Record<string, string>>
  /** Manifests removed since the last Kubernetes upgrade, which may delete their objects. */
  readonly removed?: ManifestDigests
}
const recordFile = 'configs/made-of.json'

/** Looks at generated/<cluster>; regenerates the configs only when one of their inputs has changed. */
export async function observeGeneratedFiles(
  cluster: Cluster,
  talosctl: Talosctl,
  log: Log,
): Promise<ObservedGeneratedFiles> {
  const made = await readRecord(cluster)
  const patches = await readPatches(cluster, made)
  for (const name of patches.unused)
    log.warn(
      `${cluster.patchesDir}/${name} is not used: the settings have no machine with that name`,
    )
  for (const text of patches.misplaced) log.warn(text)
  const secrets = await readSecrets(cluster)
  if (secrets === undefined)
    return {
      secrets,
      desired: undefined,
      digest: '',
      stale: namesIn(cluster),
      talosconfig: 'missing',
    }
  for (const text of describeManifestChanges(cluster, formerManifests(made), patches.manifests))
    log.warn(text)
  const digest = digestInputs(cluster, patches, secrets.digest, talosctl.version)
  const talosconfig = await checkTalosconfig(cluster, secrets)
  const current = await readConfigs(cluster)
  const isCurrent =
    made?.inputs === digest &&
    namesIn(cluster).every((name) => made.files[name] === hashOf(current.get(name)))
  if (isCurrent) return { secrets, desired: current, digest, stale: [], talosconfig }
  const { configs, warnings } = await renderConfigs(cluster, patches, talosctl)
  for (const warning of warnings) log.warn(`machine config: ${warning}`)
  const overlapping = findOverlap(cluster, configs)
  if (overlapping !== undefined) log.warn(overlapping)
  const stale = namesIn(cluster).filter((name) => configs.get(name) !== current.get(name))
  return { secrets, desired: configs, digest, stale, talosconfig }
}

/**
 * Checks whether the generated files would stop bootstrap:configure: secrets of another cluster, a patch that
 * Talos rejects. Throws the same errors; returns the warnings. Without secrets, tests the patches with throwaway ones.
 */
export async function checkGeneratedFiles(
  cluster: Cluster,
  talosctl: Talosctl,
): Promise<readonly string[]> {
  const logged: string[] = []
  const log: Log = { ...silentLog, warn: (text) => void logged.push(text) }
  const { secrets } = await observeGeneratedFiles(cluster, talosctl, log)
  if (secrets !== undefined) return logged
  return [...logged, ...(await checkNewConfigs(cluster, talosctl))]
}

/**
 * Checks, with throwaway secrets, whether Talos accepts the machine configs. Throws CONFIG_INVALID, and PATCHES_LOST
 * or MANIFESTS_LOST when the last configs had some that are gone; returns the warnings.
 */
export async function checkNewConfigs(
  cluster: Cluster,
  talosctl: Talosctl,
): Promise<readonly string[]> {
  const patches = await readPatches(cluster, await readRecord(cluster))
  const { configs, warnings } = await renderConfigs(cluster, patches, talosctl, 'throwaway')
  refuseOverlap(cluster, configs)
  return warnings.map((text) => `machine config: ${text}`)
}

/**
 * Writes the configs, removes those of machines that no longer exist, and records their inputs. Configs of other
 * secrets are archived.
 */
export async function writeConfigs(
  cluster: Cluster,
  configs: Configs,
  digest: string,
  log: Log = silentLog,
): Promise<void> {
  const files = generatedFiles(cluster)
  const before = await readRecord(cluster)
  const there = (await files.list('configs')).flatMap(({ name }) =>
    /\.ya?ml$/.test(name) ? [name] : [],
  )
  const [ours] = configs.values()
  if (ours !== undefined) await archiveConfigsOfOthers(cluster, ours, there, log)
  for (const [name, text] of configs)
    if ((await files.read(configFile({ name }))) !== text)
      await files.write(configFile({ name }), text)
  for (const name of Object.keys(before?.files ?? {}))
    if (!configs.has(name)) await files.remove(configFile({ name }))
  const hashes = Object.fromEntries([...configs].map(([name, text]) => [name, sha256(text)]))
  // Written last: if a run is killed before this, the next one generates all configs again.
  const { used, manifests } = await readPatches(cluster)
  const removed = removedManifests(formerManifests(before), manifests)
  await writeRecord(cluster, { inputs: digest, patches: used, manifests, removed, files: hashes })
}

/** What the next Kubernetes upgrade may delete, because its manifest was removed since the last one. */
export async function describeRemovedManifests(cluster: Cluster): Promise<string[]> {
  return describeManifestChanges(cluster, (await readRecord(cluster))?.removed ?? {}, {})
}

/** Forgets the removed manifests, after a Kubernetes upgrade. */
export async function forgetRemovedManifests(cluster: Cluster): Promise<void> {
  const { removed = {}, ...record } = (await readRecord(cluster)) ?? {}
  if (Object.keys(removed).length > 0) await writeRecord(cluster, record)
}

/** Writes a talosconfig with a new certificate. */
export async function writeTalosconfig(
  cluster: Cluster,
  talosctl: Talosctl,
  log: Log = silentLog,
): Promise<void> {
  const text = await renderTalosconfig(cluster, talosctl)
  const secrets = await readSecrets(cluster)
  await replaceAccess(cluster, 'talosconfig', completeTalosconfig(cluster, text), { secrets, log })
}

function namesIn({ nodes }: Cluster): string[] {
  return nodes.map(({ name }) => name)
}

function hashOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : sha256(text)
}

async function readConfigs(cluster: Cluster): Promise<Configs> {
  const files = generatedFiles(cluster)
  const read = await Promise.all(
    cluster.nodes.map(async (node) => [node.name, await files.read(configFile(node))] as const),
  )
  return new Map(
    read.flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const])),
  )
}

/** Those of the last configs, and those removed before. */
function formerManifests(made: MadeOf | undefined): ManifestDigests {
  return { ...made?.removed, ...made?.manifests }
}

async function writeRecord(cluster: Cluster, record: Partial<MadeOf>): Promise<void> {
  await generatedFiles(cluster).write(recordFile, `${JSON.stringify(record, null, 2)}\n`)
}

async function readRecord(cluster: Cluster): Promise<MadeOf | undefined> {
  const record = (await generatedFiles(cluster).readJson(recordFile)) as MadeOf | null | undefined
  return record ?? undefined
}
