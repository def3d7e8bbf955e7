/** The chart of the NFS driver: helm's arguments for it, and a check of its name and version. */
import { CommandFailed, Problem, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'
import type { Helm } from './helm.ts'
import { releaseName } from './names.ts'

/** Helm's arguments that select the chart: a name in a repository, or the chart's own location. */
export function chartArguments({ settings }: Cluster): string[] {
  const { NFS_CSI_CHART: source, NFS_CSI_VERSION: version } = settings
  if (source.startsWith('oci://')) return [source, `--version=${version}`]
  if (source.startsWith('/') || /\.tgz$/.test(source)) return [source]
  return [releaseName, `--repo=${source}`, `--version=${version}`]
}

/** Checks that the chart exists, is the driver's, and has the configured version; changes nothing. */
export async function checkChart(cluster: Cluster, helm: Helm): Promise<void> {
  const { NFS_CSI_CHART: source, NFS_CSI_VERSION: wanted } = cluster.settings
  let text: string
  try {
    text = await helm(['show', 'chart', ...chartArguments(cluster)])
  } catch (error) {
    throw error instanceof CommandFailed ? chartProblem(cluster, error) : error
  }
  const { name, version } = parse(text) as { readonly name?: string; readonly version?: string }
  if (name === releaseName && version?.replace(/^v/, '') === wanted) return
  throw new Problem('CHART_DIFFERS', `${source} is not chart ${releaseName} ${wanted}`, {
    because: `it is ${name ?? 'a chart without a name'} ${version ?? 'without a version'}`,
    now: 'nothing was changed',
    hint: 'correct NFS_CSI_CHART, or set NFS_CSI_VERSION to the version of that chart',
  })
}

/** Helm's error about a chart as a Problem. */
export function chartProblem({ settings }: Cluster, error: CommandFailed): Problem {
  const { NFS_CSI_CHART: source, NFS_CSI_VERSION: version } = settings
  const because = lastErrorLine(error)
  const details = { because, cause: error, now: 'nothing was changed' }
  if (/no chart version found|version .* not found|improper constraint/i.test(because))
    return new Problem('CHART_VERSION_UNKNOWN', `${source} has no ${releaseName} ${version}`, {
      ...details,
      hint: `set NFS_CSI_VERSION to a version of ${source}/index.yaml`,
    })
  return new Problem('CHART_NOT_FOUND', `could not get the chart from ${source}`, {
    ...details,
    hint: 'check NFS_CSI_CHART, and that this machine reaches it: '.concat(
      source.startsWith('http') ? `curl -I ${source}/index.yaml` : `helm show chart ${source}`,
    ),
  })
}

/** The last line of helm's error output, without the prefix `Error: `. */
export function lastErrorLine({ stderr, message }: CommandFailed): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return (lines.at(-1) ?? message).replace(/^Error: /, '')
}
