/** The installer image, which running machines upgrade with. */
import { inStep, type Cluster } from '@talosmith/core'
import { request, type RequestOptions } from './request.ts'

const buildTimeoutMs = 20 * 60_000

/** Has the factory build a version's installer, which it does when its manifest is first requested. */
export async function warmInstaller(
  { settings, schematic }: Cluster,
  version: string,
  options: RequestOptions,
): Promise<void> {
  const factory = settings.TALOS_FACTORY_URL
  await inStep(options.log, `Have the factory build the installer of Talos ${version}`, () =>
    request(`${factory}/v2/nocloud-installer/${schematic.id}/manifests/${version}`, {
      timeoutMs: buildTimeoutMs,
      ...options,
    }),
  )
}
