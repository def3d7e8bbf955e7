/** Restores and regenerations of secrets that were stopped: the problem of beginning anything else before they end. */
import { commandFor, type Cluster } from './cluster.ts'
import { generatedFiles } from './generated.ts'
import { Problem } from './problem.ts'

/** The record of a regeneration under way, in `generated/<cluster>`; without the cluster it misleads the next one. */
export const regenerationFile = 'regenerating.json'

/** The record of a restore under way; the same holds for it. */
export const restoreFile = 'restoring.json'

/** The flows that a stopped run leaves unfinished. */
export type Flow = 'cluster:restore' | 'cluster:regenerate-secrets'

/** RESTORE_UNFINISHED or REGENERATION_UNFINISHED, with the command that continues the flow. */
export function unfinishedProblem(cluster: Cluster, flow: Flow): Problem {
  const { name } = cluster
  const files = generatedFiles(cluster)
  const because =
    'it has removed machines or secrets, so the cluster would begin again without its data'
  const describe = (instead: string) => ({
    because,
    now: 'nothing was changed',
    hint: `to continue it: CONFIRM=${name} ${commandFor(cluster, flow)}\n${instead}`,
  })
  if (flow === 'cluster:restore')
    return new Problem(
      'RESTORE_UNFINISHED',
      `a restore of cluster ${name} was interrupted`,
      describe(`to begin with an empty cluster instead, remove ${files.path(restoreFile)} first`),
    )
  return new Problem(
    'REGENERATION_UNFINISHED',
    `a regeneration of the secrets of cluster ${name} was interrupted`,
    describe(
      `if the cluster was completed in another way, remove ${files.path(regenerationFile)} first`,
    ),
  )
}

/**
 * The problem of creating machines while a stopped flow still has to recreate them; undefined: none has. A
 * regeneration whose machines are new is completed by any command.
 */
export async function findUnfinishedMachines(cluster: Cluster): Promise<Problem | undefined> {
  const files = generatedFiles(cluster)
  if (await files.has(restoreFile)) return unfinishedProblem(cluster, 'cluster:restore')
  const record = (await files.readJson(regenerationFile)) as
    { readonly machinesAreNew?: unknown } | null | undefined
  return record?.machinesAreNew === false
    ? unfinishedProblem(cluster, 'cluster:regenerate-secrets')
    : undefined
}
