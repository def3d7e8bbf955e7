/** The files of a cluster on a host, and facts that only a shell can tell. */
import type { Qcow2 } from './qcow2.ts'
import type { SeedAddress, SeedMarker } from './seed-iso.ts'

/** The suffix of files that are being written. */
export const partialSuffix = '.talosmith-partial'

/** A disk file. */
export interface ObservedDisk {
  readonly path: string
  /** The space that the file uses on the host. */
  readonly actualBytes: number
  /** Undefined: not a qcow2 file. */
  readonly qcow2: Qcow2 | undefined
}

/** A qcow2 file that other programs have created above the disk of a machine: an external snapshot, a clone. */
export interface ObservedOverlay {
  readonly path: string
  /** The machine's disk that it backs onto, directly or through other overlays. */
  readonly disk: string
  /** Whether the machine of that disk uses it, as its disk or as a backing file of that. */
  readonly isInUse: boolean
}

/** A seed ISO that Talosmith created. */
export interface ObservedSeed extends SeedMarker {
  readonly label: string
  readonly bytes: number
}

/** An incomplete file of a killed run. */
export interface ObservedLeftover {
  readonly path: string
  /** The machine that it was written for. */
  readonly node: string
  /** What it was to become. */
  readonly file: 'disk' | 'seed'
}

/** An address of the host on one of its bridges. */
export interface BridgeNetwork {
  readonly bridge: string
  /** With its prefix length. */
  readonly address: string
  readonly gateway: string | undefined
}

/** Files and other facts of a host that only a shell can tell. */
export interface ObservedFiles {
  /** By path; also other files that machines of the cluster use as their disks. */
  readonly disks: ReadonlyMap<string, ObservedDisk>
  /** Overlays of the cluster's disks. */
  readonly overlays: readonly ObservedOverlay[]
  /** Other files that machines of the cluster use as their disks, and whose backing chain is broken. */
  readonly brokenChains: ReadonlySet<string>
  /** Disks that were added to machines of the cluster by hand, and whose file is missing. */
  readonly gone: ReadonlySet<string>
  /** Disks of other machines that may be overlays of the cluster's disks: that cannot be read. */
  readonly unknownChains: readonly string[]
  /** The seed ISOs by path; undefined: not created by Talosmith. */
  readonly seeds: ReadonlyMap<string, ObservedSeed | undefined>
  /** The addresses in the seed ISOs of every cluster's machines, by path. */
  readonly seedAddresses: ReadonlyMap<string, SeedAddress>
  /** Other files that libvirt keeps for the cluster's machines: UEFI variables, logs. */
  readonly beside: readonly { readonly path: string; readonly bytes: number }[]
  readonly leftovers: readonly ObservedLeftover[]
  readonly hasImage: boolean
  /** Whether image and pool support O_DIRECT. */
  readonly directIo: boolean
  readonly hasKvmDevice: boolean
  readonly hasKvmFlag: boolean
  readonly missingTools: readonly string[]
  readonly bridges: readonly string[]
  /** The host's addresses on its bridges, and the gateway of its default route over each. */
  readonly bridgeNetworks: readonly BridgeNetwork[]
  readonly hasSeedFolder: boolean
  readonly memoryFreeMib: number
  readonly poolFreeBytes: number
  /** Whether the user may create files in the pool's folder; otherwise they are created as volumes. */
  readonly isPoolWritable: boolean
  readonly isSeedFolderWritable: boolean
  /** Why the pool's folder cannot be read; undefined: it can. */
  readonly poolError: string | undefined
}
