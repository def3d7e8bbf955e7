/** The versions that a run begins with, and those that it ends with. */
import { defaultKubernetesVersion, type Cluster } from '@talosmith/core'

export interface Versions {
  readonly talos: string
  readonly kubernetes: string
}

export interface Stages {
  readonly before: Versions
  readonly after: Versions
}

/** The target is that of the env file; throws when `from` is not older, or not a version. */
export function stagesFor(
  { settings }: Cluster,
  from: string,
  fromKubernetes = defaultKubernetesVersion(from),
): Stages {
  const after = { talos: settings.TALOS_VERSION, kubernetes: settings.KUBERNETES_VERSION }
  if (fromKubernetes === undefined)
    throw new Error(`--from ${from} is not a Talos version that is supported`)
  if (from.localeCompare(after.talos, 'en', { numeric: true }) >= 0)
    throw new Error(`--from ${from} is not older than TALOS_VERSION: there would be no upgrade`)
  return { before: { talos: from, kubernetes: fromKubernetes }, after }
}

/** The settings of one stage, as environment variables. */
export function settingsOf({ talos, kubernetes }: Versions): Readonly<Record<string, string>> {
  return { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes }
}
