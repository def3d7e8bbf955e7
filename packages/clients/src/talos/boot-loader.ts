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
