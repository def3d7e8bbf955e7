/** Writes the configured kernel arguments into the machine config before an upgrade, on machines with GRUB. */
import { commandFor, inStep, minute, Problem, waitFor, type Node } from '@talosmith/core'
import { readBootLoader } from '@talosmith/clients/talos'
import { keepKernelArguments, passesExtraArguments } from '../config/kernel-arguments.ts'
import { updateNode } from '../configure/apply-config.ts'
import { observeNodeStates } from '../configure/observe.ts'
import type { UpgradeContext } from '../restart/context.ts'

/**
 * Prepares a machine that runs Talos `runs` to keep TALOS_KERNEL_ARGS at its upgrade: nothing to do with systemd-boot,
 * whose entries have them from the image. Without a reboot: Talos applies machine.install at once
 * (v1alpha1_runtime.go, CanApplyImmediate). Throws KERNEL_ARGS_LOST for arguments of a patch that would be lost, also
 * when TALOS_KERNEL_ARGS is empty.
 */
export async function prepareKernelArguments(
  { cluster, talosctl, log, secrets }: UpgradeContext,
  node: Node,
  runs: string,
): Promise<void> {
  const wanted = cluster.settings.TALOS_KERNEL_ARGS
  if (wanted.length === 0 && passesExtraArguments(runs)) return
  const config = await waitFor(
    `${node.name} to report its boot loader and machine config`,
    async () => {
      if ((await readBootLoader(node, talosctl)) !== 'GRUB') return undefined
      const [observed] = await observeNodeStates(cluster, talosctl, secrets, [node])
      if (observed?.state.kind !== 'running') throw new Error('it does not report its config')
      return observed.state.config
    },
    {
      log,
      withinMs: 2 * minute,
      code: 'NODE_SILENT',
      hint: `check that it runs (${commandFor(cluster, 'vm:status')}), then run the same command again`,
    },
  )
  if (config === undefined) return
  const kept = keepKernelArguments(config, wanted, runs)
  if (kept.kind === 'lost')
    throw new Problem('KERNEL_ARGS_LOST', `${node.name} would lose kernel arguments`, {
      because: `it boots by GRUB, and its next version ignores machine.install.extraKernelArgs, where a patch sets: ${kept.names.join(', ')}`,
      now: `${node.name} was not upgraded`,
      hint: `move them from the patch to TALOS_KERNEL_ARGS, which adds them to the image, then run the same command again`,
    })
  if (kept.kind === 'unchanged') return
  const updates = new Map([[node.name, kept.text]])
  await inStep(log, `Write the kernel arguments of ${node.name} into its machine config`, () =>
    updateNode({ cluster, talosctl, log, secrets, updates }, node, { reboots: false }),
  )
}
