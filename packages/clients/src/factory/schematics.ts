/** Schematics at the Image Factory. */
import { Problem, type Cluster } from '@talosmith/core'
import { parseJson, request, type RequestOptions } from './request.ts'

/** Whether the schematic was posted before. */
export async function hasSchematic(
  { settings, schematic }: Cluster,
  options: RequestOptions,
): Promise<boolean> {
  const url = `${settings.TALOS_FACTORY_URL}/schematics/${schematic.id}`
  // Factories before v0.9 have no such route: 404 then means "post it", which is harmless.
  const { status } = await request(url, options, { accepted: [404, 405] })
  return status === 200
}

/** Posts the schematic; throws SCHEMATIC_ID_DIFFERS when the factory gives it another ID than we do. */
export async function postSchematic(
  { settings, schematic }: Cluster,
  options: RequestOptions,
): Promise<void> {
  const response = await request(`${settings.TALOS_FACTORY_URL}/schematics`, options, {
    init: {
      method: 'POST',
      body: schematic.body,
      headers: { 'content-type': 'application/yaml' },
    },
  })
  const { id } = parseJson(response) as { id?: unknown }
  if (id === schematic.id) return
  throw new Problem(
    'SCHEMATIC_ID_DIFFERS',
    'the Image Factory returned another ID for this schematic',
    {
      because: `Talosmith computed ${schematic.id}, the factory returned ${String(id)}`,
      now: 'the schematic was posted; nothing else was changed',
      hint: 'an Enterprise factory adds an owner, which changes the ID: use one that does not; otherwise look in TALOS_KERNEL_ARGS for characters that YAML quotes',
    },
  )
}
