/** Which Kubernetes versions each supported Talos minor runs. */
import semver from 'semver'

/**
 * Kubernetes versions by Talos minor. Ranges: Talos' compatibility tables
 * (pkg/machinery/compatibility/talos1XX); `kubernetes` is the default version of that Talos minor.
 */
const talosMinors: Readonly<
  Record<string, { readonly range: readonly [string, string]; readonly kubernetes: string }>
> = {
  '1.9': { range: ['1.27', '1.32'], kubernetes: 'v1.32.0' },
  '1.10': { range: ['1.28', '1.33'], kubernetes: 'v1.33.0' },
  '1.11': { range: ['1.29', '1.34'], kubernetes: 'v1.34.0' },
  '1.12': { range: ['1.30', '1.35'], kubernetes: 'v1.35.0' },
  '1.13': { range: ['1.31', '1.36'], kubernetes: 'v1.36.3' },
  '1.14': { range: ['1.32', '1.37'], kubernetes: 'v1.37.0' },
}

/** `1.13` of `v1.13.9`. */
export function minorOf(version: string): string {
  return `${semver.major(version)}.${semver.minor(version)}`
}

/** The Talos minors that this project supports, oldest first. */
export const supportedTalosMinors: readonly string[] = Object.keys(talosMinors)

/** The default Kubernetes version of a Talos version; undefined for an unknown minor. */
export function defaultKubernetesVersion(talos: string): string | undefined {
  return talosMinors[minorOf(talos)]?.kubernetes
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
