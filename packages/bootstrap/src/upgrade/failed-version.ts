/** Versions that do not boot on a machine: the problem, and the refusal to install one again. Pure. */
import { Problem, type Cluster } from '@talosmith/core'
import { anySchematic } from '@talosmith/clients/talos'
import { describeStuck, setOtherVersion } from '../restart/restart.ts'
import { failedAnnotation, type FailedVersion } from '../restart/upgrade-annotation.ts'
import { installationOf } from './installation.ts'
import type { ObservedMachine } from './observe-upgrade.ts'
import { machinesOf } from './plan-upgrade.ts'
import type { PathStep } from './upgrade-path.ts'

/** What is told of a version that failed. */
interface Told {
  /** The name of the machine's node in Kubernetes, which has the record. */
  readonly on: string
  readonly because?: string | undefined
  readonly now: string
  /** What to do first. */
  readonly hint?: string | undefined
}

/** The problem of a version that does not boot on a machine, which runs its previous version. */
export function failedVersion(
  name: string,
  { version, kind }: FailedVersion,
  { on, because, now, hint }: Told,
): Problem {
  return new Problem('VERSION_FAILED', `${name} does not boot Talos ${version}`, {
    because: because ?? describeStuck(kind),
    now,
    hint: [
      ...(hint === undefined ? [] : [hint]),
      `${setOtherVersion}; to try this version once more: kubectl annotate node ${on} ${failedAnnotation}-`,
    ].join('\n'),
  })
}

/** Throws VERSION_FAILED when the path has a version that an earlier upgrade could not boot on one of its machines. */
export function refuseFailedVersions(
  cluster: Cluster,
  steps: readonly PathStep[],
  machines: readonly ObservedMachine[],
): void {
  for (const step of steps)
    for (const machine of machinesOf(cluster, step, machines)) {
      const { failed, node } = machine
      const { version, schematic } = installationOf(cluster, machine, step.to)
      const isSame = failed?.version === version && failed.schematic === schematic
      // Of the user's own installer only the version is known.
      if (failed !== undefined && isSame && schematic !== anySchematic)
        throw failedVersion(node.name, failed, {
          on: failed.on,
          because: `an earlier upgrade returned it to its previous version: ${describeStuck(failed.kind)}`,
          now: 'nothing was changed',
        })
    }
}
