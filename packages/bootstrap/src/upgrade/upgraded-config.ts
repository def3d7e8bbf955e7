/** Brings a machine the config that belongs to its new Talos. */
import { applyAll, type Node } from '@talosmith/core'
import { updateNode } from '../configure/apply-config.ts'
import { observeNodeStates, previewConfig } from '../configure/observe.ts'
import { planPreviewed } from '../configure/plan.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import { configChange, configOf } from './plan-upgrade.ts'
import { aroundReboot } from './upgrade-machine.ts'
import type { UpgradeContext } from '../restart/context.ts'

/**
 * Brings a machine that runs the asked Talos to the config that belongs to it. After the restart, not
 * before: a new Talos reads the forms of the old one, an old one refuses document kinds it does not know.
 */
export async function bringConfig(context: UpgradeContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, generated, secrets } = context
  const [seen] = await observeNodeStates(cluster, talosctl, secrets, [node])
  if (seen?.state.kind !== 'running') return
  const text = configOf({ node, config: seen.state.config }, generated.desired)
  if (text === undefined) return
  const preview = await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    return previewConfig(node, folder.path('config.yaml'), talosctl)
  })
  const wanted = { change: configChange({ node }), text, held: [] }
  const { change } = planPreviewed(wanted, node, preview)
  if (change === undefined) return
  const updates = new Map([[node.name, text]])
  const update = () =>
    applyAll([change], () => updateNode({ cluster, talosctl, log, secrets, updates }, node), {
      log,
    })
  await (change.risk === 'restart' ? aroundReboot(context, node, update) : update())
}
