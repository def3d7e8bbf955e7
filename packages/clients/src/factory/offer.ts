import { minorOf, nearest, Problem, type Cluster } from '@talosmith/core'
import semver from 'semver'
import type { Offer } from './client.ts'

/** Throws when the factory doesn't offer the version or an extension, naming the nearest that it does. */
export function checkOffer({ settings }: Cluster, { versions, extensions }: Offer): void {
  const { TALOS_VERSION: version, TALOS_FACTORY_URL: url } = settings
  if (!versions.includes(version)) {
    const near = nearestVersion(version, versions)
    throw new Problem('TALOS_VERSION_NOT_OFFERED', `${url} does not offer Talos ${version}`, {
      now: 'nothing was changed',
      hint: `${near === undefined ? '' : `set TALOS_VERSION=${near}; `}all versions: curl ${url}/versions`,
    })
  }
  const unknown = settings.TALOS_EXTENSIONS.filter((name) => !extensions.includes(name))
  if (unknown.length === 0) return
  const lines = unknown.map((name) => {
    const meant = nearest(name, extensions)
    return meant === undefined ? name : `${name}: did you mean ${meant}?`
  })
  throw new Problem('EXTENSION_NOT_OFFERED', `Talos ${version} has no such extension at ${url}`, {
    because: lines.join('\n'),
    now: 'nothing was changed',
    hint: `correct TALOS_EXTENSIONS; all names: curl ${url}/version/${version}/extensions/official`,
  })
}

/** The newest of the same minor, else the newest release before it, else the oldest release. */
export function nearestVersion(version: string, versions: readonly string[]): string | undefined {
  const sorted = versions.filter((one) => semver.valid(one) !== null).sort(semver.compare)
  const releases = sorted.filter((one) => semver.prerelease(one) === null)
  const isSameMinor = (one: string): boolean => minorOf(one) === minorOf(version)
  return (
    releases.findLast(isSameMinor) ??
    sorted.findLast(isSameMinor) ??
    releases.findLast((one) => semver.lt(one, version)) ??
    releases[0]
  )
}
