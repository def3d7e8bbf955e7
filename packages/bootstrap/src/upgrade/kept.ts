/** Whether the previous version of a machine, which runs, is its default one. Pure. */
import type { BootEntries, RunningTalos, Target } from '@talosmith/clients/talos'

/**
 * Whether a machine that `runs` a version boots it again after a cold start, or the one that failed. Files of two images
 * of one version differ by a number only (sdboot.go, generateNextUKIName): then the entry that was selected decides.
 */
export function isKept(
  { default: next, selected }: BootEntries,
  { talosVersion }: Pick<RunningTalos, 'talosVersion'>,
  failed: Target,
): boolean {
  if (talosVersion === failed.version) return next === selected
  return !new RegExp(`^talos-${failed.version.replaceAll('.', '\\.')}(?:~\\d+)?\\.efi$`, 'i').test(
    next,
  )
}
