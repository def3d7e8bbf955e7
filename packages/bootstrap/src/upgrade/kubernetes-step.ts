/** Takes Kubernetes through one version. */
import { CommandFailed, minorOf, Problem, waitFor, plainLines, inStep } from '@talosmith/core'
import { minute } from '../configure/apply-context.ts'
import { observeKubernetes } from './observe-upgrade.ts'
import { kubernetesFault } from './kubernetes-proof.ts'
import { passGate } from '../restart/pass-gate.ts'
import { refuseRemovedApis } from './removed-apis.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'

const upgradeMs = 90 * minute

/**
 * Brings Kubernetes to the next version through one control plane's own address, and proves every
 * component. talosctl goes machine by machine itself, and goes on where a run before ended.
 */
export async function takeKubernetesStep(
  context: UpgradeContext,
  { from, to }: PathStep,
): Promise<void> {
  const { cluster, talosctl, log } = context
  const [node] = cluster.controlPlanes
  if (node === undefined) return
  await passGate(context, [], 'nothing was changed')
  // A patch removes nothing.
  if (minorOf(from) !== minorOf(to)) await refuseRemovedApis(context, to)
  await inStep(log, `Upgrade Kubernetes from ${from} to ${to}`, async (step) => {
    const said: string[] = []
    const args = [
      ...['upgrade-k8s', `--to=${to.replace(/^v/, '')}`],
      `--endpoint=https://${node.address}:6443`,
      ...['--with-docs=false', '--with-examples=false'],
    ]
    try {
      await talosctl.ask([node.address], args, {
        timeoutMs: upgradeMs,
        onLine(line) {
          said.push(...plainLines(line))
          step.progress(line.trim())
        },
      })
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error
      throw new Problem('KUBERNETES_UPGRADE_FAILED', `Kubernetes did not come to ${to}`, {
        because: said.slice(-12).join('\n') || error.message,
        now: `components may run ${from} or ${to}, which go together; nothing else was changed`,
        hint: 'mend what is named (an API that was removed: change the objects that use it), then run the same command again: it goes on',
      })
    }
  })
  await inStep(log, `Prove Kubernetes ${to}`, () =>
    waitFor(
      `every component to run Kubernetes ${to}`,
      async () => {
        const fault = kubernetesFault(cluster, to, await observeKubernetes(context.kubernetes))
        if (fault !== undefined) throw new Error(fault)
      },
      {
        log,
        withinMs: rebootTimeoutMs(cluster),
        everyMs: 4000,
        code: 'KUBERNETES_UNPROVEN',
        hint: `mend what is named, then run the same command again; Kubernetes ${minorOf(from)} and ${minorOf(to)} go together meanwhile`,
      },
    ),
  )
}
