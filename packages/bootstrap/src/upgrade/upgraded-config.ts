/** Updates the machine config after an upgrade of Talos. */
import { applyAll, type Node } from '@talosmith/core'
import { updateNode } from '../configure/apply-config.ts'
import { observeNodeStates, previewConfig } from '../configure/observe.ts'
import { planPreviewed } from '../configure/plan.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import { configChange, configOf } from './plan-upgrade.ts'
import { rebootSafely } from './upgrade-machine.ts'
import type { UpgradeContext } from '../restart/context.ts'

/**
 * Updates the config of a machine that runs TALOS_VERSION. After the restart, not before: a new Talos reads
 * configs of the old version, but an old one rejects unknown document kinds.
 */
export async function updateConfig(context: UpgradeContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, generated, secrets } = context
  const [observed] = await observeNodeStates(cluster, talosctl, secrets, [node])
  if (observed?.state.kind !== 'running') return
  const text = configOf({ node, config: observed.state.config }, generated.desired)
  if (text === undefined) return
  const preview = await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    return previewConfig(node, folder.path('config.yaml'), talosctl)
  })
  const wanted = { change: configChange({ node }), text, held: [] }
  const { change } = planPreviewed(wanted, node, preview)
  if (change === undefined) return
  const updates = new Map([[node.name, text]])
  const reboots = change.risk === 'restart'
  const update = () =>
    applyAll(
      [change],
      () => updateNode({ cluster, talosctl, log, secrets, updates }, node, { reboots }),
      { log },
    )
  await (reboots ? rebootSafely(context, node, update) : update())
}
