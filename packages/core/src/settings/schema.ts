import * as z from 'zod'
import * as kind from './kinds.ts'

/** One setting of an env file: what it takes, what it is when left out, and what it is for. */
export interface Setting {
  readonly type: z.ZodType
  /** The text that stands for a setting left out; undefined: nothing, or worked out from others. */
  readonly default?: string
  /** One sentence for env/example.env and docs/configuration.md. */
  readonly about: string
  /** What a left-out setting becomes, where that is worked out from others. */
  readonly otherwise?: string
  /** A value for env/example.env where there is no default. */
  readonly example?: string
  readonly required?: true
}

/** Every setting there is, in the order in which people read them. */
export const settingGroups = {
  Host: {
    LIBVIRT_URI: {
      type: kind.list(z.string(), 'libvirt addresses', /[\s,]+/),
      default: 'qemu:///system',
      about:
        'The KVM host: qemu:///system, or qemu+ssh://[user@]host[:port]/system?keyfile=...; several with commas.',
    },
    STORAGE_POOL: {
      type: kind.plainName('the name of a libvirt storage pool'),
      default: 'default',
      about: 'The libvirt pool (a folder) that holds images and disks.',
    },
    SEED_ISO_DIR: {
      type: kind.absolutePath,
      otherwise: "the pool's folder",
      about: 'Folder of the host for the seed ISOs.',
    },
    NETWORK_BRIDGE: {
      type: kind.plainName('the name of a bridge of the host'),
      example: 'br0',
      about: 'A bridge of the host that the machines join. Either this or NETWORK_NAME.',
    },
    NETWORK_NAME: {
      type: kind.plainName('the name of a libvirt network'),
      about: 'A libvirt network that the machines join. Either this or NETWORK_BRIDGE.',
    },
  },
  Cluster: {
    CLUSTER_NAME: {
      type: kind.clusterName,
      required: true,
      example: 'home',
      about: 'Name of the cluster; machines are called <name>-cp1, <name>-w1 and so on.',
    },
    CLUSTER_VIP: {
      type: kind.ipv4,
      about:
        'A free address that the control planes share, so that the API survives the loss of one.',
    },
    CLUSTER_ENDPOINT: {
      type: kind.hostName,
      otherwise: 'CLUSTER_VIP, else the first control plane',
      about: 'Host name or address under which the Kubernetes API is reached.',
    },
  },
  Talos: {
    TALOS_VERSION: {
      type: kind.version,
      default: 'v1.13.9',
      about: 'Talos Linux on every machine.',
    },
    KUBERNETES_VERSION: {
      type: kind.version,
      otherwise: 'the one that belongs to TALOS_VERSION',
      about: 'Kubernetes on every machine.',
    },
    TALOS_EXTENSIONS: {
      type: kind.list(
        kind.extensionName,
        'names such as siderolabs/qemu-guest-agent, separated by commas',
      ),
      default: '',
      example: 'siderolabs/qemu-guest-agent',
      about: 'System extensions, as the Image Factory names them.',
    },
    TALOS_KERNEL_ARGS: {
      type: kind.list(
        kind.kernelArgument,
        'kernel arguments separated by spaces, without quotes',
        /\s+/,
      ),
      default: '',
      about: 'Further kernel arguments.',
    },
    TALOS_FACTORY_URL: {
      type: kind.httpUrl,
      default: 'https://factory.talos.dev',
      about: 'The Image Factory.',
    },
    INSTALL_DISK: {
      type: kind.blockDevice,
      default: '/dev/vda',
      about: 'The disk that Talos is on.',
    },
  },
  Image: {
    IMAGE_COMPRESSION: {
      type: kind.oneOf('zst', 'xz', 'gz', 'none'),
      default: 'zst',
      about: 'How the image travels from the factory.',
    },
    IMAGE_PATH: {
      type: kind.absolutePath,
      about: 'A raw image that already is on the host: nothing is downloaded.',
    },
    IMAGE_SHA256: { type: kind.sha256, about: 'sha256 that the raw image must have.' },
    IMAGE_RELAY: {
      type: kind.flag,
      default: 'false',
      about: 'Fetch the image here and send it to the host, for hosts without a way out.',
    },
  },
  Network: {
    NETWORK_CIDR: { type: kind.ipv4Cidr, default: '10.0.0.0/24', about: "The machines' network." },
    NETWORK_GATEWAY: {
      type: kind.ipv4,
      otherwise: 'the first address of NETWORK_CIDR',
      about: 'Their way out.',
    },
    NETWORK_NAMESERVERS: {
      type: kind.list(kind.ipv4, 'IPv4 addresses separated by commas'),
      otherwise: 'the gateway',
      about: 'Their DNS servers.',
    },
    CONTROL_PLANE_IP_OFFSET: {
      type: kind.wholeNumber(1, 65_000),
      default: '70',
      about: 'Where in NETWORK_CIDR the control planes begin.',
    },
    WORKER_IP_OFFSET: {
      type: kind.wholeNumber(1, 65_000),
      default: '80',
      about: 'Where in NETWORK_CIDR the workers begin.',
    },
    MAC_PREFIX: {
      type: kind.macPrefix,
      otherwise: "derived from the cluster's name",
      about: 'First five bytes of the MAC addresses.',
    },
  },
  Machines: {
    CONTROL_PLANE_COUNT: {
      type: kind.wholeNumber(1, 7),
      default: '1',
      about: 'How many control planes: 1, 3, 5 or 7 (etcd needs a majority).',
    },
    CONTROL_PLANE_CPU: {
      type: kind.wholeNumber(1, 256),
      default: '2',
      about: 'Virtual CPUs of each.',
    },
    CONTROL_PLANE_MEMORY_MIB: {
      type: kind.wholeNumber(2048, 4_194_304),
      default: '4096',
      about: 'Memory of each, in MiB; Talos needs 2048.',
    },
    CONTROL_PLANE_DISK_GIB: {
      type: kind.wholeNumber(10, 65_536),
      default: '20',
      about: 'Disk of each, in GiB; Talos needs 10.',
    },
    WORKER_COUNT: { type: kind.wholeNumber(0, 100), default: '2', about: 'How many workers.' },
    WORKER_CPU: { type: kind.wholeNumber(1, 256), default: '2', about: 'Virtual CPUs of each.' },
    WORKER_MEMORY_MIB: {
      type: kind.wholeNumber(1024, 4_194_304),
      default: '4096',
      about: 'Memory of each, in MiB; Talos needs 1024.',
    },
    WORKER_DISK_GIB: {
      type: kind.wholeNumber(10, 65_536),
      default: '50',
      about: 'Disk of each, in GiB; Talos needs 10.',
    },
    UEFI: { type: kind.flag, default: 'true', about: 'UEFI firmware; false: BIOS.' },
    CPU_MODEL: {
      type: kind.cpuModel,
      default: 'host-passthrough',
      about: 'CPU that the machines see; Talos needs x86-64-v2.',
    },
    DOMAIN_TYPE: {
      type: kind.oneOf('auto', 'kvm', 'qemu'),
      default: 'auto',
      about: 'auto: kvm where it is usable, otherwise emulation.',
    },
    AUTOSTART: { type: kind.flag, default: 'true', about: 'Start the machines with the host.' },
  },
  Storage: {
    NFS_SERVER: {
      type: kind.hostName,
      example: '10.0.0.5',
      about: 'NFS server for the nfs-appdata StorageClass; empty: no storage.',
    },
    NFS_SHARE: { type: kind.absolutePath, example: '/srv/appdata', about: "The server's export." },
    NFS_CSI_VERSION: {
      type: kind.version.transform((value) => value.slice(1)),
      default: '4.13.4',
      about: 'Version of the csi-driver-nfs chart.',
    },
    NFS_CSI_CHART: {
      type: kind.chartSource,
      default: 'https://raw.githubusercontent.com/kubernetes-csi/csi-driver-nfs/master/charts',
      about:
        'Where the csi-driver-nfs chart comes from: a chart repository, the address of a .tgz, oci://..., or a path on this machine.',
    },
    NFS_MOUNT_OPTIONS: {
      type: kind.list(kind.mountOption, 'mount options separated by commas'),
      default: 'nfsvers=4.1',
      about: 'Mount options of every volume.',
    },
    NFS_RECLAIM_POLICY: {
      type: kind.oneOf('Retain', 'Delete'),
      default: 'Retain',
      about: "What becomes of a claim's data when the claim goes.",
    },
  },
  Behaviour: {
    HEALTH_TIMEOUT: {
      type: kind.duration,
      default: '15m',
      about: 'How long to wait for a healthy cluster.',
    },
    FAILURE_BUNDLE: {
      type: kind.flag,
      default: 'true',
      about:
        'Whether a stage that fails looks for the cause and writes what it saw into generated/<cluster>/bundles.',
    },
    UPGRADE_WORKERS_AT_ONCE: {
      type: kind.wholeNumber(1, 100),
      default: '1',
      about: 'How many workers an upgrade takes at the same time; control planes go one at a time.',
    },
    UPGRADE_GATE_COMMAND: {
      type: kind.commandLine,
      about:
        'A command of yours that must succeed before an upgrade goes on to the next machine, for example one that looks at your storage.',
    },
  },
} as const satisfies Record<string, Record<string, Setting>>

type UnionToIntersection<U> = (U extends unknown ? (u: U) => void : never) extends (
  i: infer I,
) => void
  ? I
  : never
type AllSettings = UnionToIntersection<(typeof settingGroups)[keyof typeof settingGroups]>

/** The name of a setting. */
export type SettingName = keyof AllSettings

/** What a file may leave out with nothing to take its place. */
type Optional =
  | 'SEED_ISO_DIR'
  | 'NETWORK_BRIDGE'
  | 'NETWORK_NAME'
  | 'CLUSTER_VIP'
  | 'CLUSTER_ENDPOINT'
  | 'IMAGE_PATH'
  | 'IMAGE_SHA256'
  | 'NFS_SERVER'
  | 'NFS_SHARE'
  | 'UPGRADE_GATE_COMMAND'

type ValueOf<K extends SettingName> = AllSettings[K] extends { type: z.ZodType<infer T> }
  ? T
  : never

/** The settings of one cluster, read, checked and completed; keys are the env file's own. */
export type Settings = { readonly [K in Exclude<SettingName, Optional>]: ValueOf<K> } & {
  readonly [K in Optional]: ValueOf<K> | undefined
}

/** All settings by name. */
export const allSettings = Object.assign({}, ...Object.values(settingGroups)) as Record<
  SettingName,
  Setting
>
