/** With which installer image a machine is upgraded, and what it then has to run. Pure. */
import { commandFor, Problem, type Cluster } from '@talosmith/core'
import { anySchematic, type RunningTalos, type Target } from '@talosmith/clients/talos'
import { installerIn } from '../config/config-update.ts'

/** What an upgrade does to a machine. */
export interface Installation extends Target {
  /** Undefined: no installer is known that keeps what is in the machine's own image. */
  readonly image: string | undefined
}

/** A machine, and the installer image that the user names for it. */
export interface ToInstall {
  readonly facts: Pick<RunningTalos, 'schematic'>
  /** Undefined: that of the factory. */
  readonly ownInstaller?: string | undefined
}

/** The installer image that a patch names, in the desired config of a machine; undefined: it is the factory's. */
export function ownInstallerOf(
  { image }: Cluster,
  desired: string | undefined,
): string | undefined {
  const named = desired === undefined ? undefined : installerIn(desired)
  return named === image.installer ? undefined : named
}

/**
 * The installer of a version for a machine: the one that a patch names; else the factory's, with the schematic of the
 * settings. A machine made from IMAGE_PATH keeps the schematic that its image has: the settings do not describe it.
 */
export function installationOf(
  { settings, image, schematic }: Cluster,
  { facts, ownInstaller }: ToInstall,
  version: string,
): Installation {
  if (ownInstaller !== undefined)
    return {
      version,
      schematic: /\/([0-9a-f]{64})[:@]/.exec(ownInstaller)?.[1] ?? anySchematic,
      // On the way to TALOS_VERSION, another version of the same image.
      image: ownInstaller.replaceAll(settings.TALOS_VERSION, version),
    }
  const of = (id: string): Installation => ({
    version,
    schematic: id,
    image: image.installer.replace(schematic.id, id).replace(/:[^:/]+$/, `:${version}`),
  })
  if (settings.IMAGE_PATH === undefined) return of(schematic.id)
  return facts.schematic === undefined
    ? { version, schematic: anySchematic, image: undefined }
    : of(facts.schematic)
}

/** Whether the factory's own installer, of the schematic of the settings, is needed. */
export function usesFactory(cluster: Cluster, { facts, ownInstaller }: ToInstall): boolean {
  const { schematic } = installationOf(cluster, { facts, ownInstaller }, '')
  return ownInstaller === undefined && schematic === cluster.schematic.id
}

/** Why an installer that a patch names must not be installed; undefined: nothing speaks against it. */
function ownInstallerProblem({ settings }: Cluster, installer: string): string | undefined {
  // Both come back without the NoCloud seed's address (facts of platform in the UKI).
  if (/\/metal-installer\/|^ghcr\.io\/siderolabs\/installer[:@]/.test(installer))
    return 'it is for the platform metal, which does not read the seed ISO'
  const [version] = /(?<=:)v\d+\.\d+\.\d+/.exec(installer) ?? []
  return version === undefined || version === settings.TALOS_VERSION
    ? undefined
    : `it is Talos ${version}, and TALOS_VERSION is ${settings.TALOS_VERSION}`
}

/**
 * Throws INSTALLER_UNKNOWN when machines that have to be upgraded have an image of which no installer is known, or a
 * patch names one that does not fit.
 */
export function refuseUnknownInstaller(
  cluster: Cluster,
  machines: readonly (ToInstall & { readonly node: { readonly name: string } })[],
): void {
  for (const { node, ownInstaller } of machines) {
    const because = ownInstaller && ownInstallerProblem(cluster, ownInstaller)
    if (because)
      throw new Problem('INSTALLER_UNKNOWN', `${ownInstaller} is no installer for ${node.name}`, {
        because,
        now: 'nothing was changed',
        hint: `correct or remove machine.install.image in the patches (${cluster.patchesDir}), then run the same command again`,
      })
  }
  const unknown = machines.filter(
    (machine) => installationOf(cluster, machine, '').image === undefined,
  )
  if (unknown.length === 0) return
  const names = unknown.map(({ node }) => node.name).join(', ')
  throw new Problem('INSTALLER_UNKNOWN', `no installer image is known for ${names}`, {
    because: `the image of IMAGE_PATH does not come from a factory, and the factory's installer would replace what is in it`,
    now: 'nothing was changed',
    hint: `push your own installer of Talos ${cluster.settings.TALOS_VERSION} to a registry, name it as machine.install.image in a patch (${cluster.patchesDir}/all.yaml), then run the same command again; to see the rest: ${commandFor(cluster, 'cluster:plan')}`,
  })
}
