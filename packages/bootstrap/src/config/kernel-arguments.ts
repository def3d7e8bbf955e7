/** The kernel arguments in a machine config, where a machine with GRUB takes them from at an upgrade. Pure. */
import semver from 'semver'
import { parseAllDocuments } from 'yaml'
import { ofKind, textOf } from './config-documents.ts'

/**
 * What carries kernel arguments over an upgrade on a machine with GRUB, by the version that runs it. Without it the new
 * version boots with Talos' own arguments only; systemd-boot takes them from the image (grub/install.go, install).
 *
 * | from | field of machine.install | why |
 * | --- | --- | --- |
 * | 1.9 | extraKernelArgs | passed to the installer (internal/pkg/install/install.go, OptionsFromUpgradeRequest) |
 * | 1.12 | grubUseUKICmdline | known since then, and excludes the other (v1alpha1_validation.go); from 1.13 the installer gets no arguments (internal/app/lifecycle/container.go) |
 *
 * With a document UnattendedInstallConfig (1.14) the image's arguments are always taken (cmd/installer/cmd/installer/install.go).
 */
const takesImageArguments = '1.12.0'
const ignoresExtraArguments = '1.13.0'

/** Whether an upgrade that Talos `runs` carries out passes machine.install.extraKernelArgs to the installer. */
export function passesExtraArguments(runs: string): boolean {
  return semver.lt(runs, ignoresExtraArguments)
}

/** The config with which an upgrade keeps kernel arguments; or why there is none. */
export type KeptArguments =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'changed'; readonly text: string }
  /** Names of arguments in extraKernelArgs that are not ours, and that the next version would lose. */
  | { readonly kind: 'lost'; readonly names: readonly string[] }

/**
 * What has to change in the config of a machine with GRUB that runs Talos `runs`, so that its next version boots with
 * `wanted`. Arguments that a patch added are kept.
 */
export function keepKernelArguments(
  config: string,
  wanted: readonly string[],
  runs: string,
): KeptArguments {
  const documents = parseAllDocuments(config)
  const base = documents.find((document) => document.get('kind') === undefined)
  const isUnattended = ofKind(documents, 'UnattendedInstallConfig').length > 0
  if (base === undefined || isUnattended) return { kind: 'unchanged' }
  const install = (base.toJS() as InstallSection).machine?.install ?? {}
  const { extraKernelArgs: extra = [], grubUseUKICmdline: takesImage = false } = install
  const others = extra.filter((argument) => !wanted.includes(argument))
  const field = (name: string): string[] => ['machine', 'install', name]
  const passesExtra = passesExtraArguments(runs) && !takesImage && others.length > 0
  if (passesExtra || semver.lt(runs, takesImageArguments)) {
    const added = wanted.filter((argument) => !extra.includes(argument))
    if (added.length === 0) return { kind: 'unchanged' }
    base.setIn(field('extraKernelArgs'), [...extra, ...added])
  } else {
    if (others.length > 0) return { kind: 'lost', names: others.map(nameOfArgument) }
    if (extra.length === 0 && (takesImage || wanted.length === 0)) return { kind: 'unchanged' }
    if (extra.length > 0) base.deleteIn(field('extraKernelArgs'))
    base.setIn(field('grubUseUKICmdline'), true)
  }
  return { kind: 'changed', text: textOf(documents) }
}

interface InstallSection {
  readonly machine?: {
    readonly install?: {
      readonly extraKernelArgs?: readonly string[]
      readonly grubUseUKICmdline?: boolean
    }
  }
}

/**
 * The names of the configured kernel arguments that a kernel runs without. `-name` and `-name=value` remove one
 * (siderolabs/go-procfs, WithDeleteNegatedArgs). Without values: they may be secrets.
 */
export function missingArguments(wanted: readonly string[], runs: readonly string[]): string[] {
  return wanted
    .filter((argument) => {
      if (!argument.startsWith('-')) return !runs.includes(argument)
      const unwanted = argument.slice(1)
      // Removals come first (siderolabs/talos, pkg/imager/imager.go): `-console console=ttyS1` replaces one.
      return runs.some(
        (one) =>
          !wanted.includes(one) &&
          (one === unwanted || (!unwanted.includes('=') && one.startsWith(`${unwanted}=`))),
      )
    })
    .map(nameOfArgument)
}

function nameOfArgument(argument: string): string {
  return argument.replace(/=.*$/s, '')
}
