/** A cluster as its settings describe it: machines, addresses, image, paths. */
import { join } from 'node:path'
import { prefixLengthOf } from './addresses.ts'
import { withoutCredentials } from './credentials.ts'
import { describeNodes, type Node } from './nodes.ts'
import { describeSchematic, type Schematic } from './schematic.ts'
import type { Settings } from './settings/schema.ts'

/** The Talos image that the machines boot from. */
export interface Image {
  /** The raw image's name in the pool. */
  readonly fileName: string
  /** Its address at the Image Factory, compressed according to IMAGE_COMPRESSION. */
  readonly url: string
  /** The installer image for upgrades; the nocloud one, else a node would boot as platform metal. */
  readonly installer: string
  /** Whether the schematic has the guest agent; the machines then need a virtio channel for it. */
  readonly hasGuestAgent: boolean
}

/** A cluster as the settings describe it: a pure function of them. */
export interface Cluster {
  readonly name: string
  /** The name of its env file, which CLUSTER selects it by; it may differ from `name`. */
  readonly file: string
  readonly settings: Settings
  /** Control planes first. */
  readonly nodes: readonly Node[]
  readonly controlPlanes: readonly Node[]
  readonly workers: readonly Node[]
  /** https://<host>:<port>; the port is 6443, unless CLUSTER_ENDPOINT has another. */
  readonly endpoint: string
  readonly vip: string | undefined
  readonly prefixLength: number
  readonly schematic: Schematic
  readonly image: Image
  /** The project's root folder. */
  readonly root: string
  /** The folder of its secrets, configs, access files and run records. */
  readonly generated: string
  /** The user's own machine config patches. */
  readonly patchesDir: string
  /** The user's own Kubernetes manifests. */
  readonly manifestsDir: string
}

/** The cluster that `settings` of env/<file>.env describe. */
export function describeCluster(
  settings: Settings,
  root: string,
  file: string = settings.CLUSTER_NAME,
): Cluster {
  const nodes = describeNodes(settings)
  const controlPlanes = nodes.filter(({ role }) => role === 'controlplane')
  const given = settings.CLUSTER_ENDPOINT ?? settings.CLUSTER_VIP ?? controlPlanes[0]?.address ?? ''
  const schematic = describeSchematic(settings.TALOS_EXTENSIONS, settings.TALOS_KERNEL_ARGS)
  return {
    name: settings.CLUSTER_NAME,
    file,
    settings,
    nodes,
    controlPlanes,
    workers: nodes.filter(({ role }) => role === 'worker'),
    endpoint: `https://${given.includes(':') ? given : `${given}:6443`}`,
    vip: settings.CLUSTER_VIP,
    prefixLength: prefixLengthOf(settings.NETWORK_CIDR),
    schematic,
    image: describeImage(settings, schematic),
    root,
    generated: join(root, 'generated', settings.CLUSTER_NAME),
    patchesDir: join(root, 'env', file, 'patches'),
    manifestsDir: join(root, 'env', file, 'manifests'),
  }
}

/** The cluster as one of its hosts, by index, has it: with the pool, network and folder of that host. */
export function clusterOn(cluster: Cluster, index: number): Cluster {
  const own = cluster.settings.hosts[index]?.own
  return own === undefined ? cluster : { ...cluster, settings: { ...cluster.settings, ...own } }
}

/** A host of LIBVIRT_URI by its index, as messages name it: `big (qemu+ssh://root@kvm1/system)`. */
export function hostLabel({ settings }: Pick<Cluster, 'settings'>, index: number): string {
  const uri = withoutCredentials(settings.LIBVIRT_URI[index] ?? '').replace(/\?.*$/s, '')
  const name = settings.hosts[index]?.name
  return name === undefined ? uri : `${name} (${uri})`
}

/** The setting that a host, by index, has of its own, or that all hosts share; for hints: HOST_BIG_STORAGE_POOL. */
export function settingOn(
  { settings }: Pick<Cluster, 'settings'>,
  index: number,
  key: string,
): string {
  const { name, own } = settings.hosts[index] ?? {}
  return name === undefined || own === undefined
    ? key
    : `HOST_${name.toUpperCase().replaceAll('-', '_')}_${key}`
}

/** The command line that runs an Nx target for this cluster; for hints. */
export function commandFor({ file }: Pick<Cluster, 'file'>, target: string): string {
  return `CLUSTER=${file} npx nx run ${target}`
}

function describeImage(settings: Settings, { id }: Schematic): Image {
  const {
    TALOS_VERSION: version,
    TALOS_FACTORY_URL: factory,
    IMAGE_COMPRESSION: compression,
  } = settings
  const asset = `nocloud-amd64.raw${compression === 'none' ? '' : `.${compression}`}`
  return {
    fileName: `talos-${version}-${id.slice(0, 12)}-nocloud-amd64.raw`,
    url: `${factory}/image/${id}/${version}/${asset}`,
    installer: `${factory.replace(/^https?:\/\//, '')}/nocloud-installer/${id}:${version}`,
    hasGuestAgent: settings.TALOS_EXTENSIONS.includes('siderolabs/qemu-guest-agent'),
  }
}

/** Paths of a cluster's files on its KVM host. */
export interface HostFiles {
  readonly image: string
  readonly ledger: string
  disk(node: Pick<Node, 'name'>): string
  seed(node: Pick<Node, 'name'>): string
}

/** Paths on a KVM host whose pool is the folder `poolPath`. */
export function hostFiles(cluster: Cluster, poolPath: string): HostFiles {
  const image = cluster.settings.IMAGE_PATH ?? join(poolPath, cluster.image.fileName)
  const seeds = cluster.settings.SEED_ISO_DIR ?? poolPath
  return {
    image,
    ledger: `${image}.ledger.json`,
    disk: ({ name }) => join(poolPath, `${name}.qcow2`),
    seed: ({ name }) => join(seeds, `${name}-seed.iso`),
  }
}
