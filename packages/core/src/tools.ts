import { access, constants, readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import semver from 'semver'
import type { Cluster } from './cluster.ts'
import { Problem } from './problem.ts'
import { minorOf } from './settings/versions.ts'
import { versionOf } from './tool-version.ts'

export type ToolName = 'talosctl' | 'kubectl' | 'helm'

/** A program of the operator's machine, found and of a version that fits the cluster. */
export interface Tool {
  readonly path: string
  readonly version: string
}

/** Folder where several versions of a tool can stand side by side: <folder>/<version>/<tool>. */
export function toolFolder(name: ToolName): string {
  // oxlint-disable-next-line node/no-process-env -- where programs are is a fact of this machine, not an option
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  return join(cache, 'talosmith', 'tools', name)
}

/** How a tool is asked for its version, which version is wanted, and whether another one does. */
const knowledge: Record<
  ToolName,
  {
    readonly ask: readonly string[]
    readonly wanted: (cluster: Cluster) => string
    readonly fits: (version: string, cluster: Cluster) => boolean
    readonly rule: (cluster: Cluster) => string
    readonly get: (cluster: Cluster) => string
  }
> = {
  // Talos recommends the talosctl of the version that runs; config of another minor is refused or lacks kinds.
  talosctl: {
    ask: ['version', '--client', '--short'],
    wanted: ({ settings }) => settings.TALOS_VERSION,
    fits: (version, { settings }) => minorOf(version) === minorOf(settings.TALOS_VERSION),
    rule: ({ settings }) => `talosctl ${minorOf(settings.TALOS_VERSION)}.x`,
    get: ({ settings }) =>
      `${settings.TALOS_FACTORY_URL}/talosctl/${settings.TALOS_VERSION}/talosctl-linux-amd64`,
  },
  // https://kubernetes.io/releases/version-skew-policy/#kubectl: one minor older or newer.
  kubectl: {
    ask: ['version', '--client', '--output=json'],
    wanted: ({ settings }) => settings.KUBERNETES_VERSION,
    fits: (version, { settings }) =>
      Math.abs(semver.minor(version) - semver.minor(settings.KUBERNETES_VERSION)) <= 1,
    rule: ({ settings }) => `kubectl within one minor of ${minorOf(settings.KUBERNETES_VERSION)}`,
    get: ({ settings }) =>
      `https://dl.k8s.io/release/${settings.KUBERNETES_VERSION}/bin/linux/amd64/kubectl`,
  },
  helm: {
    ask: ['version', '--short'],
    wanted: () => 'v4',
    fits: (version) => semver.major(version) >= 3,
    rule: () => 'helm 3.x or 4.x',
    get: () => 'https://helm.sh/docs/intro/install/',
  },
}

/**
 * Finds a tool that says it is of a version that fits: in the folder of the wanted version, then on PATH,
 * then in the other folders, newest first. Throws TOOL_MISSING or TOOL_UNFIT with what was found and
 * where to get it.
 */
export async function findTool(name: ToolName, cluster: Cluster): Promise<Tool> {
  const { ask, wanted, fits, rule, get } = knowledge[name]
  const folder = toolFolder(name)
  const exact = join(folder, wanted(cluster), name)
  const unfit: string[] = []
  for (const path of await candidates(name, folder, exact)) {
    const version = await versionOf(path, ask, path.startsWith(join(folder, '/')))
    if (version !== undefined && fits(version, cluster)) return { path, version }
    unfit.push(`${path} ${version === undefined ? 'does not say its version' : `is ${version}`}`)
  }
  const hint = `get ${rule(cluster)}: ${get(cluster)} as ${exact} (chmod +x), or put it on PATH`
  if (unfit.length === 0)
    throw new Problem('TOOL_MISSING', `${name} was not found on PATH or in ${folder}`, { hint })
  throw new Problem('TOOL_UNFIT', `no ${name} fits this cluster, which needs ${rule(cluster)}`, {
    because: unfit.join('; '),
    hint,
  })
}

async function candidates(name: ToolName, folder: string, exact: string): Promise<string[]> {
  const versions = (await readdir(folder).catch(() => []))
    .filter((version) => semver.valid(version) !== null)
    .sort(semver.rcompare)
  const paths = new Set([
    exact,
    // oxlint-disable-next-line node/no-process-env -- PATH, as above
    ...(process.env['PATH'] ?? '').split(delimiter).map((part) => join(part, name)),
    ...versions.map((version) => join(folder, version, name)),
  ])
  const checked = await Promise.all(
    [...paths].map(async (path) => ((await isExecutable(path)) ? [path] : [])),
  )
  return checked.flat()
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
