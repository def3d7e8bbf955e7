/** How a machine was booted: its boot loader, and the command line of its kernel. */
import type { Node } from '@talosmith/core'
import { askTalos } from './observe-talos.ts'
import { resourcesOf } from './questions.ts'
import type { Talosctl } from './talosctl.ts'

interface SecurityState {
  readonly secureBoot: boolean
  /** Left out where it is false, and by Talos before 1.10, which has systemd-boot only with SecureBoot. */
  readonly bootedWithUKI?: boolean
}

/**
 * Talos keeps the boot loader that a machine was created with (cmd/installer/pkg/install/install.go, detectBootloader):
 * GRUB on machines of 1.9 and on those that boot by BIOS, systemd-boot on others. It reports a UKI, which only
 * systemd-boot starts (internal/app/machined/pkg/controllers/runtime/security_state.go).
 */
export type BootLoader = 'GRUB' | 'systemd-boot'

const bootLoaderQuestion = resourcesOf<SecurityState, BootLoader>('securitystate', ([state]) =>
  state?.secureBoot === true || state?.bootedWithUKI === true ? 'systemd-boot' : 'GRUB',
)

/** The boot loader of one machine, as it reports it. Throws with the reason when it does not answer. */
export async function readBootLoader(node: Node, talosctl: Talosctl): Promise<BootLoader> {
  const answers = await askTalos([node], { loader: bootLoaderQuestion }, talosctl)
  const answer = answers.get(node.name)?.loader
  if (answer?.ok === true) return answer.value
  throw new Error(answer?.reason ?? 'it was not queried')
}

/** The arguments that a machine's kernel runs with. Throws while it does not answer. */
export async function readKernelArguments(
  { address }: Node,
  talosctl: Talosctl,
): Promise<readonly string[]> {
  const { stdout } = await talosctl.ask([address], ['read', '/proc/cmdline'])
  return stdout.split(/\s+/).filter((argument) => argument !== '')
}

/** systemd-boot's entries of a machine, as their files: talos-v1.13.9.efi. */
export interface BootEntries {
  /** Booted by the next cold start, and by Talos' own restart with kexec. */
  readonly default: string
  /** Booted by the last cold start. */
  readonly selected: string
}

/**
 * Reads systemd-boot's entries from the firmware's variables, as Talos does
 * (internal/app/machined/pkg/runtime/v1alpha1/bootloader/sdboot/efivars.go, ReadVariable: four bytes of attributes, then
 * UTF-16 in little endian). Throws where they cannot be read, as with GRUB.
 */
export async function readBootEntries({ address }: Node, talosctl: Talosctl): Promise<BootEntries> {
  const read = async (name: string): Promise<string> => {
    const file = `/sys/firmware/efi/efivars/${name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f`
    const { stdout } = await talosctl.ask([address], ['read', file])
    // Names of such entries are ASCII, and systemd-boot compares them without case.
    const entry = /talos-[\w.~-]+\.efi/.exec(stdout.replaceAll('\0', '').toLowerCase())?.[0]
    if (entry === undefined) throw new Error(`${name} names no entry of Talos`)
    return entry
  }
  return { default: await read('LoaderEntryDefault'), selected: await read('LoaderEntrySelected') }
}
