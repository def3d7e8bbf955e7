/** Finds the versions that an upgrade has to go through. Pure. */
import { refuseMissingVersion } from '@talosmith/clients/factory'
import {
  defaultKubernetesVersion,
  minorOf,
  newestDefaultKubernetes,
  Problem,
  supportedTalosMinors,
  unsupportedPair,
} from '@talosmith/core'
import semver from 'semver'

/** The versions that one machine runs. */
export interface RunningVersions {
  readonly name: string
  readonly talos: string
  /** The oldest Kubernetes component on it. */
  readonly kubernetes: string
}

/** The running and the desired versions of a cluster. */
export interface PathQuestion {
  readonly running: readonly RunningVersions[]
  readonly talos: string
  readonly kubernetes: string
  /** Talos versions that the factory offers; undefined: installers come from elsewhere, and only the desired one is known. */
  readonly offered: readonly string[] | undefined
  /** The factory's URL. */
  readonly factory: string
}

/** One version that every machine is upgraded to before the next step begins. */
export interface PathStep {
  readonly kind: 'talos' | 'kubernetes'
  readonly from: string
  readonly to: string
}

/**
 * The oldest minor from which each minor can be installed (MinimumHostUpgradeVersion in Talos'
 * pkg/machinery/compatibility): its installer refuses to run on older ones.
 */
const installsOver: Readonly<Record<string, string>> = {
  '1.9': '1.8',
  '1.10': '1.8',
  '1.11': '1.9',
  '1.12': '1.10',
  '1.13': '1.11',
  '1.14': '1.12',
}

/**
 * The versions to go through, oldest first: Talos minor by minor with the newest patch of each, as its
 * documentation recommends, and Kubernetes in between where the next Talos would not support it; then
 * Kubernetes minor by minor. Throws a Problem with the nearest allowed version.
 */
export function findPath(question: PathQuestion): PathStep[] {
  const { running, talos, kubernetes } = question
  const talosVersions = running.map((one) => one.talos).sort(semver.compare)
  const kubernetesVersions = running.map((one) => one.kubernetes).sort(semver.compare)
  const [oldest, newest] = [talosVersions[0], talosVersions.at(-1)]
  const [oldestKubernetes, newestKubernetes] = [kubernetesVersions[0], kubernetesVersions.at(-1)]
  if (!oldest || !newest || !oldestKubernetes || !newestKubernetes) return []
  refuseUnknown(question)
  refuseDowngrade('TALOS_VERSION', 'Talos', newest, talos)
  refuseDowngrade('KUBERNETES_VERSION', 'Kubernetes', newestKubernetes, kubernetes)
  refusePair(talos, kubernetes)
  const steps: PathStep[] = []
  let runs = oldestKubernetes
  let from = talosVersions.find((version) => version !== talos) ?? talos
  for (const to of talosHops(from, question)) {
    while (isTooOld(to, runs)) {
      const next = nextKubernetes(runs, kubernetes)
      refusePair(from, next)
      steps.push({ kind: 'kubernetes', from: runs, to: next })
      runs = next
    }
    steps.push({ kind: 'talos', from, to })
    from = to
  }
  while (runs !== kubernetes) {
    const next = nextKubernetes(runs, kubernetes)
    steps.push({ kind: 'kubernetes', from: runs, to: next })
    runs = next
  }
  // Some machines run a newer patch than the desired one.
  if (steps.every(({ kind }) => kind === 'talos') && newestKubernetes !== kubernetes)
    steps.push({ kind: 'kubernetes', from: newestKubernetes, to: kubernetes })
  return steps
}

function talosHops(from: string, { talos, offered, factory }: PathQuestion): string[] {
  if (from === talos) return []
  if (offered !== undefined) refuseMissingVersion(talos, offered, factory)
  if (minorOf(from) === minorOf(talos)) return [talos]
  const releases = releasesOf(offered ?? [])
  const newestOf = (minor: string): string | undefined =>
    releases.findLast((one) => minorOf(one) === minor)
  const own = newestOf(minorOf(from))
  const hops = own !== undefined && semver.gt(own, from) ? [own] : []
  for (const minor of minorsBetween(from, talos)) {
    const newest = newestOf(minor)
    if (newest !== undefined) hops.push(newest)
  }
  hops.push(talos)
  for (const [index, to] of hops.entries()) refuseSkip(hops[index - 1] ?? from, to)
  return hops
}

function refuseSkip(from: string, to: string): void {
  const oldest = installsOver[minorOf(to)]
  if (oldest !== undefined && isFrom(from, oldest)) return
  const reachable = supportedTalosMinors.findLast((minor) => {
    const source = installsOver[minor]
    return source !== undefined && isFrom(from, source)
  })
  throw new Problem(
    'UPGRADE_SKIPS_MINORS',
    `Talos ${to} cannot be installed over ${from}, and no version in between is known`,
    {
      because: `Talos ${minorOf(to)} can be installed over Talos ${oldest ?? 'an older one'} and newer`,
      now: 'nothing was changed',
      hint: `set TALOS_VERSION to a ${reachable ?? minorOf(from)} version that you have an installer of, upgrade, then continue from there`,
    },
  )
}

/** Whether a version is of a minor or a newer one; a pre-release counts as its minor. */
function isFrom(version: string, minor: string): boolean {
  return semver.gte(`${minorOf(version)}.0`, `${minor}.0`)
}

function refuseUnknown({ running, talos }: PathQuestion): void {
  const [first] = supportedTalosMinors
  const last = supportedTalosMinors.at(-1)
  for (const { name, talos: runs } of running) {
    if (supportedTalosMinors.includes(minorOf(runs))) continue
    throw new Problem('UPGRADE_FROM_UNKNOWN', `${name} runs Talos ${runs}`, {
      because: `upgrades are supported from Talos ${first} to ${last}, so ${talos} cannot be reached from there`,
      now: 'nothing was changed',
      hint: semver.lt(runs, `${first}.0`)
        ? `upgrade it to the newest ${first} by hand: talosctl upgrade --image <factory>/nocloud-installer/<schematic>:<version>`
        : `upgrades of Talos ${minorOf(runs)} need a newer version of Talosmith`,
    })
  }
}

function refuseDowngrade(setting: string, what: string, runs: string, desired: string): void {
  if (semver.gte(desired, runs) || minorOf(desired) === minorOf(runs)) return
  throw new Problem('DOWNGRADE_REFUSED', `${setting}=${desired} would downgrade ${what} ${runs}`, {
    because: `${what} ${minorOf(desired)} may not be able to read data of ${minorOf(runs)}; only another patch of the same minor is safe`,
    now: 'nothing was changed',
    hint: `set ${setting}=${runs}, or an older ${minorOf(runs)}.x; for an older minor, restore a backup (cluster:restore)`,
  })
}

function refusePair(talos: string, kubernetes: string): void {
  const why = unsupportedPair(talos, kubernetes)
  if (why === undefined) return
  const belongs = defaultKubernetesVersion(talos)
  throw new Problem(
    'VERSIONS_DO_NOT_FIT',
    `Talos ${talos} does not support Kubernetes ${kubernetes}`,
    {
      because: why,
      now: 'nothing was changed',
      hint: belongs === undefined ? 'choose another pair' : `set KUBERNETES_VERSION=${belongs}`,
    },
  )
}

/** Whether a Talos version supports only newer versions of Kubernetes. */
function isTooOld(talos: string, kubernetes: string): boolean {
  if (unsupportedPair(talos, kubernetes) === undefined) return false
  const own = defaultKubernetesVersion(talos)
  return own !== undefined && semver.lt(kubernetes, own)
}

/** The next minor on the path to a version, or that version itself within its minor. */
function nextKubernetes(runs: string, desired: string): string {
  if (minorOf(runs) === minorOf(desired)) return desired
  const minor = `1.${semver.minor(runs) + 1}`
  if (minor === minorOf(desired)) return desired
  const known = supportedTalosMinors
    .map((talos) => newestDefaultKubernetes(talos))
    .find((version) => version !== undefined && minorOf(version) === minor)
  return known ?? `v${minor}.0`
}

function minorsBetween(from: string, to: string): string[] {
  const count = semver.minor(to) - semver.minor(from) - 1
  return Array.from({ length: Math.max(count, 0) }, (_, i) => `1.${semver.minor(from) + 1 + i}`)
}

/** The releases among versions, without pre-releases, oldest first. */
function releasesOf(offered: readonly string[]): string[] {
  return offered
    .filter((one) => semver.valid(one) !== null && semver.prerelease(one) === null)
    .sort(semver.compare)
}
