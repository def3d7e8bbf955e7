/** Upgrades Kubernetes by one version. */
import {
  CommandFailed,
  minorOf,
  minute,
  Problem,
  waitFor,
  plainLines,
  inStep,
  redactShapes,
} from '@talosmith/core'
import { describeRemovedManifests } from '../configure/generated-files.ts'
import { redactorOf } from '../secrets/known-secrets.ts'
import { observeKubernetes } from './observe-upgrade.ts'
import { findKubernetesProblem } from './kubernetes-proof.ts'
import { passGate } from '../restart/pass-gate.ts'
import { refuseRemovedApis } from './removed-apis.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'

const upgradeMs = 90 * minute

/**
 * Upgrades Kubernetes to the next version through the address of one control plane, and verifies every
 * component. talosctl goes machine by machine itself, and continues where an earlier run ended.
 */
export async function takeKubernetesStep(
  context: UpgradeContext,
  { from, to }: PathStep,
): Promise<void> {
  const { cluster, talosctl, log } = context
  const [node] = cluster.controlPlanes
  if (node === undefined) return
  await passGate(context, [], 'nothing was changed')
  // A patch release removes no API.
  if (minorOf(from) !== minorOf(to)) await refuseRemovedApis(context, to)
  for (const text of await describeRemovedManifests(cluster)) log.warn(text)
  await inStep(log, `Upgrade Kubernetes from ${from} to ${to}`, async (step) => {
    const output: string[] = []
    // talosctl shows what it changes in manifests, which may be inline ones of a patch.
    const redact = await redactorOf(cluster).catch(() => redactShapes)
    const args = [
      ...['upgrade-k8s', `--to=${to.replace(/^v/, '')}`],
      `--endpoint=https://${node.address}:6443`,
      ...['--with-docs=false', '--with-examples=false'],
    ]
    try {
      await talosctl.ask([node.address], args, {
        timeoutMs: upgradeMs,
        onLine(line) {
          output.push(...plainLines(line))
          step.progress(redact(line.trim()))
        },
      })
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error
      throw new Problem('KUBERNETES_UPGRADE_FAILED', `Kubernetes was not upgraded to ${to}`, {
        because: redact(output.slice(-12).join('\n')) || error.message,
        now: `components run ${from} or ${to}, which are compatible; nothing else was changed`,
        hint: 'fix the reported problem (a removed API: change the objects that use it), then run the same command again: it continues',
      })
    }
  })
  await inStep(log, `Verify Kubernetes ${to}`, () =>
    waitFor(
      `every component to run Kubernetes ${to}`,
      async () => {
        const problem = findKubernetesProblem(
          cluster,
          to,
          await observeKubernetes(context.kubernetes),
        )
        if (problem !== undefined) throw new Error(problem)
      },
      {
        log,
        withinMs: rebootTimeoutMs(cluster),
        everyMs: 4000,
        code: 'KUBERNETES_UNPROVEN',
        hint: `fix the reported problem, then run the same command again; until then, components of Kubernetes ${minorOf(from)} and ${minorOf(to)} are compatible`,
      },
    ),
  )
}
