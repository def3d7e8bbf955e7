/** The installer image, which running machines upgrade with. */
import { codes, inStep, Problem, type Cluster } from '@talosmith/core'
import { FactoryError } from './problems.ts'
import { request, type RequestOptions } from './request.ts'

const buildTimeoutMs = 20 * 60_000

/**
 * The types of an image's manifest. The factory pushes an index, which a registry reports as missing (404) to a
 * request that doesn't accept it.
 */
const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]

/** The factory's redirect to the registry that it has pushed an image to. */
const built = 307

/**
 * Has the factory build a version's installer, which it does when its manifest is first requested; then it sends a
 * redirect to its registry, or that registry's answer (image-factory internal/frontend/http/registry.go,
 * handleManifest). The redirect isn't followed: the registry may demand a token. Throws FACTORY_ERROR and
 * FACTORY_UNREACHABLE.
 */
export async function warmInstaller(
  { settings, schematic }: Cluster,
  version: string,
  options: RequestOptions,
): Promise<void> {
  const factory = settings.TALOS_FACTORY_URL
  await inStep(options.log, `Have the factory build the installer of Talos ${version}`, () =>
    request(
      `${factory}/v2/nocloud-installer/${schematic.id}/manifests/${version}`,
      { timeoutMs: buildTimeoutMs, ...options },
      {
        init: { headers: { accept: manifestTypes.join(', ') }, redirect: 'manual' },
        accepted: [built],
      },
    ),
  )
}

/**
 * Whether every machine will be refused as well. With 400 the factory rejects the request itself: the platform, or an
 * extension that the version does not have, which it notices only here. All else may differ for a machine or later: 401
 * and 403, for which machines may have credentials; 404, also a registry's or a mirror's; another redirect; 429 and 5xx
 * (image-factory internal/frontend/http/transport/errors.go, ClassifyError).
 */
function isFinal(error: Problem): boolean {
  return error instanceof FactoryError && error.status === 400
}

/**
 * The same, where it only saves time: a failure is a warning, since machines pull the installer themselves. Throws
 * FACTORY_ERROR where they would be refused as well.
 */
export async function tryWarmInstaller(
  cluster: Cluster,
  version: string,
  options: RequestOptions,
): Promise<void> {
  try {
    await warmInstaller(cluster, version, options)
  } catch (error) {
    const isFactory =
      error instanceof Problem &&
      (error.code === 'FACTORY_ERROR' || error.code === codes.factoryUnreachable)
    if (!isFactory || isFinal(error)) throw error
    options.log.warn(
      `the installer of Talos ${version} was not built in advance: ${error.message} (${error.because}); continuing, since each machine pulls it by itself`,
    )
  }
}
