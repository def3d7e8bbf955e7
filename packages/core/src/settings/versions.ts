/** Which Kubernetes versions each supported Talos minor runs. */
import semver from 'semver'

/**
 * Kubernetes versions by Talos minor. Ranges: Talos' compatibility tables
 * (pkg/machinery/compatibility/talos1XX); `kubernetes` is the version that the newest patch of the minor brings.
 */
const talosMinors: Readonly<
  Record<string, { readonly range: readonly [string, string]; readonly kubernetes: string }>
> = {
  '1.9': { range: ['1.27', '1.32'], kubernetes: 'v1.32.3' },
  '1.10': { range: ['1.28', '1.33'], kubernetes: 'v1.33.0' },
  '1.11': { range: ['1.29', '1.34'], kubernetes: 'v1.34.1' },
  '1.12': { range: ['1.30', '1.35'], kubernetes: 'v1.35.4' },
  '1.13': { range: ['1.31', '1.36'], kubernetes: 'v1.36.3' },
  '1.14': { range: ['1.32', '1.37'], kubernetes: 'v1.37.0' },
}

/**
 * What older patches bring: the last patch, and the version of it and those before it, oldest first. It is
 * DefaultKubernetesVersion of the release (pkg/machinery/constants), read from v1.9.5, v1.10.0, v1.11.0, v1.11.3,
 * v1.12.4, v1.12.11, v1.13.9 and v1.14.1; a patch in between counts with the next one. Not for 1.13: v1.36.3 was
 * the default of all its patches here, and a lower one would downgrade clusters whose settings name no version.
 */
const olderPatches: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  '1.9': [['1.9.0', 'v1.32.0']],
  '1.11': [['1.11.0', 'v1.34.0']],
  '1.12': [['1.12.4', 'v1.35.0']],
}

/** `1.13` of `v1.13.9`. */
export function minorOf(version: string): string {
  return `${semver.major(version)}.${semver.minor(version)}`
}

/** The Talos minors that this project supports, oldest first. */
export const supportedTalosMinors: readonly string[] = Object.keys(talosMinors)

/** The Kubernetes version that a Talos version brings; undefined for an unknown minor. */
export function defaultKubernetesVersion(talos: string): string | undefined {
  const minor = minorOf(talos)
  const older = olderPatches[minor]?.find(([last]) => semver.lte(talos, last))
  return older?.[1] ?? talosMinors[minor]?.kubernetes
}

/** The Kubernetes version that the newest patch of a Talos minor brings; undefined for an unknown minor. */
export function newestDefaultKubernetes(talosMinor: string): string | undefined {
  return talosMinors[talosMinor]?.kubernetes
}

/** Why a Talos version does not support a Kubernetes version; undefined when it does. */
export function unsupportedPair(talos: string, kubernetes: string): string | undefined {
  const known = talosMinors[minorOf(talos)]
  if (known === undefined)
    return `Talos ${minorOf(talos)} is not one of ${supportedTalosMinors.join(', ')}`
  const [lowest, highest] = known.range
  const wanted = minorOf(kubernetes)
  const inside =
    semver.gte(`${wanted}.0`, `${lowest}.0`) && semver.lte(`${wanted}.0`, `${highest}.0`)
  return inside ? undefined : `Talos ${minorOf(talos)} supports Kubernetes ${lowest} to ${highest}`
}
