/** talosctl, kubectl and helm on the operator's machine. */
import { access, constants, readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import semver from 'semver'
import type { Cluster } from './cluster.ts'
import { goPlatform } from './operator-system.ts'
import { Problem } from './problem.ts'
import { minorOf } from './settings/versions.ts'
import { versionOf } from './tool-version.ts'

export type ToolName = 'talosctl' | 'kubectl' | 'helm'

/** A program on the operator's machine whose version fits the cluster. */
export interface Tool {
  readonly path: string
  readonly version: string
}

/** The folder for several versions of a tool: <folder>/<version>/<tool>. */
export function toolFolder(name: ToolName): string {
  // oxlint-disable-next-line node/no-process-env -- where programs are is a fact of this machine, not an option
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  return join(cache, 'talosmith', 'tools', name)
}

/** How to get each tool's version, which version is preferred, and which others fit. */
const rules: Record<
  ToolName,
  {
    readonly versionArgs: readonly string[]
    readonly preferred: (cluster: Cluster) => string
    readonly fits: (version: string, cluster: Cluster) => boolean
    readonly requirement: (cluster: Cluster) => string
    readonly source: (cluster: Cluster) => string
  }
> = {
  // Talos recommends the talosctl of its own version; another minor rejects or lacks some config documents.
  talosctl: {
    versionArgs: ['version', '--client', '--short'],
    preferred: ({ settings }) => settings.TALOS_VERSION,
    fits: (version, { settings }) => minorOf(version) === minorOf(settings.TALOS_VERSION),
    requirement: ({ settings }) => `talosctl ${minorOf(settings.TALOS_VERSION)}.x`,
    source: ({ settings }) =>
      `${settings.TALOS_FACTORY_URL}/talosctl/${settings.TALOS_VERSION}/talosctl-${goPlatform().os}-${goPlatform().arch}`,
  },
  // https://kubernetes.io/releases/version-skew-policy/#kubectl: one minor older or newer.
  kubectl: {
    versionArgs: ['version', '--client', '--output=json'],
    preferred: ({ settings }) => settings.KUBERNETES_VERSION,
    fits: (version, { settings }) =>
      Math.abs(semver.minor(version) - semver.minor(settings.KUBERNETES_VERSION)) <= 1,
    requirement: ({ settings }) =>
      `kubectl within one minor of ${minorOf(settings.KUBERNETES_VERSION)}`,
    source: ({ settings }) =>
      `https://dl.k8s.io/release/${settings.KUBERNETES_VERSION}/bin/${goPlatform().os}/${goPlatform().arch}/kubectl`,
  },
  // `helm upgrade --labels`, by which we know our release, came with 3.13: https://github.com/helm/helm/releases/tag/v3.13.0
  helm: {
    versionArgs: ['version', '--short'],
    preferred: () => 'v4',
    fits: (version) => semver.gte(version, '3.13.0'),
    requirement: () => 'helm 3.13 or newer',
    source: () => 'https://helm.sh/docs/intro/install/',
  },
}

/**
 * Finds a tool whose version fits: in the folder of the preferred version, then on PATH, then in the other
 * folders, newest first. Throws TOOL_MISSING or TOOL_UNFIT with what was found and where to get it.
 */
export async function findTool(name: ToolName, cluster: Cluster): Promise<Tool> {
  const { versionArgs, preferred, fits, requirement, source } = rules[name]
  const folder = toolFolder(name)
  const exact = join(folder, preferred(cluster), name)
  const unfit: string[] = []
  for (const path of await candidates(name, folder, exact)) {
    const version = await versionOf(path, versionArgs, path.startsWith(join(folder, '/')))
    if (version !== undefined && fits(version, cluster)) return { path, version }
    unfit.push(`${path} ${version === undefined ? 'does not report its version' : `is ${version}`}`)
  }
  const hint = `get ${requirement(cluster)}: ${source(cluster)} as ${exact} (chmod +x), or put it on PATH`
  if (unfit.length === 0)
    throw new Problem('TOOL_MISSING', `${name} was not found on PATH or in ${folder}`, { hint })
  throw new Problem(
    'TOOL_UNFIT',
    `no ${name} fits this cluster, which needs ${requirement(cluster)}`,
    {
      because: unfit.join('; '),
      hint,
    },
  )
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
