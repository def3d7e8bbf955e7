/** The volumes of a machine: STATE, which holds its machine config, EPHEMERAL, and the user's own. */
import type { Question } from './questions.ts'
import { parseResources } from './talos-output.ts'

/**
 * A volume, as every supported Talos reports it (VolumeStatuses.block.talos.dev since 1.8; VolumeStatusSpec in
 * pkg/machinery/resources/block/volume_status.go).
 */
export interface Volume {
  /** STATE, EPHEMERAL, or that of a user volume. */
  readonly id: string
  /** waiting, failed, missing, located, provisioned, prepared, ready or closed (volumephase.go). */
  readonly phase: string
  /** Why it failed; Talos retries some failures every 30 s (controllers/block/volume_manager.go, Run). */
  readonly error: string | undefined
}

/** The volumes of a machine. */
export const volumesQuestion: Question<readonly Volume[]> = {
  args: ['get', 'volumestatus', '--output', 'json'],
  parse(output) {
    const volumes = new Map<string, Volume[]>()
    for (const { node, metadata, spec } of parseResources<{
      readonly phase: string
      readonly errorMessage?: string
    }>(output)) {
      const volume = { id: metadata.id, phase: spec.phase, error: spec.errorMessage }
      volumes.set(node, [...(volumes.get(node) ?? []), volume])
    }
    return volumes
  },
}

/**
 * Why a configured machine cannot keep its config; undefined: it can. It runs its config from memory until STATE is
 * ready, and loses it with a restart before that (controllers/config/persistence.go).
 */
export function stateProblem(volumes: readonly Volume[]): string | undefined {
  const state = volumes.find(({ id }) => id === 'STATE')
  if (state?.phase === 'ready') return undefined
  return state === undefined ? 'it has no volume STATE yet' : describeVolume(state)
}

/** A volume and its phase, with the reason if it failed: 'its volume STATE is failed: no disk matched'. */
export function describeVolume({ id, phase, error }: Volume): string {
  return `its volume ${id} is ${phase}${error === undefined || error === '' ? '' : `: ${error}`}`
}
