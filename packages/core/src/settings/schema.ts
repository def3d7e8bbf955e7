/** The schema of all settings: types, defaults, descriptions. */
import * as z from 'zod'
import * as kind from './kinds.ts'
import { maxControlPlanes } from '../nodes.ts'
import type { HostSettings } from './hosts.ts'

/** One setting of an env file: its type, default and description. */
export interface Setting {
  readonly type: z.ZodType
  /** The default, as text; undefined: none, or derived from other settings. */
  readonly default?: string
  /** The description in env/example.env and docs/configuration.md. */
  readonly about: string
  /** The description of a default that is derived from other settings. */
  readonly otherwise?: string
  /** The value in env/example.env of a setting without a default. */
  readonly example?: string
  readonly required?: true
  /** Its value may contain a secret and is never printed. */
  readonly secret?: true
}

/** All settings, in the order of the documentation. */
export const settingGroups = {
  Host: {
    LIBVIRT_URI: {
      type: kind.list(z.string(), 'libvirt addresses', /[\s,]+/),
      default: 'qemu:///system',
      about:
        'The KVM host: qemu:///system, or qemu+ssh://[user@]host[:port]/system?keyfile=...; separate several with commas, and name them (big=qemu+ssh://...) if they differ.',
    },
    STORAGE_POOL: {
      type: kind.plainName('the name of a libvirt storage pool'),
      default: 'default',
      about: 'The libvirt storage pool (type dir) for images and disks.',
    },
    SEED_ISO_DIR: {
      type: kind.folderPath,
      otherwise: "the pool's folder",
      about: 'Folder on the KVM host for the seed ISOs.',
    },
    NETWORK_BRIDGE: {
      type: kind.plainName('the name of a bridge on the KVM host'),
      example: 'br0',
      about: 'Bridge on the KVM host to connect the machines to. Set either this or NETWORK_NAME.',
    },
    NETWORK_NAME: {
      type: kind.plainName('the name of a libvirt network'),
      about:
        'libvirt network to connect the machines to, such as default; addresses in its DHCP range are reserved. Set either this or NETWORK_BRIDGE.',
    },
  },
  Cluster: {
    CLUSTER_NAME: {
      type: kind.clusterName,
      required: true,
      example: 'home',
      about: 'Name of the cluster; the machines are named <name>-cp1, <name>-w1 and so on.',
    },
    CLUSTER_VIP: {
      type: kind.ipv4,
      about:
        'Unused address that the control planes share, so that the API stays available when one of them fails.',
    },
    CLUSTER_ENDPOINT: {
      type: kind.apiEndpoint,
      otherwise: 'CLUSTER_VIP, else the first control plane',
      about:
        'Host name or address of the Kubernetes API; with a port where a load balancer has another than 6443.',
    },
  },
  Talos: {
    TALOS_VERSION: {
      type: kind.version,
      default: 'v1.13.9',
      about: 'Talos version.',
    },
    KUBERNETES_VERSION: {
      type: kind.version,
      otherwise: 'the default of TALOS_VERSION',
      about: 'Kubernetes version.',
    },
    TALOS_EXTENSIONS: {
      type: kind.list(
        kind.extensionName,
        'names such as siderolabs/qemu-guest-agent, separated by commas',
        /[\s,]+/,
        kind.suggestExtension,
      ),
      default: '',
      example: 'siderolabs/qemu-guest-agent',
      about: 'System extensions, by their names at the Image Factory.',
    },
    TALOS_KERNEL_ARGS: {
      type: kind.list(
        kind.kernelArgument,
        'kernel arguments separated by spaces, without quotes',
        /\s+/,
      ),
      default: '',
      about: 'Additional kernel arguments.',
    },
    TALOS_FACTORY_URL: {
      type: kind.httpUrl,
      default: 'https://factory.talos.dev',
      about: 'Address of the Image Factory.',
    },
    INSTALL_DISK: {
      type: kind.installDisk,
      default: '/dev/vda',
      about: 'The disk that Talos is installed on.',
    },
  },
  Image: {
    IMAGE_COMPRESSION: {
      type: kind.oneOf('zst', 'xz', 'gz', 'none'),
      default: 'zst',
      about: 'Compression of the image that is downloaded from the factory.',
    },
    IMAGE_PATH: {
      type: kind.filePath,
      about: 'Raw image that is already on the KVM host; nothing is downloaded then.',
    },
    IMAGE_SHA256: { type: kind.sha256, about: 'Expected sha256 of the raw image.' },
    IMAGE_RELAY: {
      type: kind.flag,
      default: 'false',
      about:
        'Download the image on this machine and send it to the KVM host, for hosts without internet access.',
    },
    HOST_PROXY: {
      type: kind.proxyUrl,
      secret: true,
      example: 'http://proxy.lan:3128',
      about:
        'HTTP proxy that the KVM hosts download the image through. This machine uses HTTPS_PROXY, HTTP_PROXY and NO_PROXY of its environment.',
    },
  },
  Network: {
    NETWORK_CIDR: {
      type: kind.ipv4Cidr,
      default: '10.0.0.0/24',
      about:
        'Network of the machines: that of the bridge or libvirt network, which cluster:doctor prints.',
    },
    NETWORK_GATEWAY: {
      type: kind.ipv4,
      otherwise: 'the first address of NETWORK_CIDR',
      about: 'Default gateway of the machines.',
    },
    NETWORK_NAMESERVERS: {
      type: kind.list(kind.ipv4, 'IPv4 addresses separated by commas'),
      otherwise: 'the gateway',
      about: 'DNS servers of the machines.',
    },
    CONTROL_PLANE_IP_OFFSET: {
      type: kind.wholeNumber(1, 65_000),
      default: '70',
      about: 'Offset in NETWORK_CIDR of the first control plane.',
    },
    WORKER_IP_OFFSET: {
      type: kind.wholeNumber(1, 65_000),
      default: '80',
      about: 'Offset in NETWORK_CIDR of the first worker.',
    },
    MAC_PREFIX: {
      type: kind.macPrefix,
      otherwise: "derived from the cluster's name",
      about: 'First five bytes of the MAC addresses.',
    },
  },
  Machines: {
    CONTROL_PLANE_COUNT: {
      type: kind.wholeNumber(1, maxControlPlanes),
      default: '1',
      about: 'Number of control planes: 1, 3, 5 or 7 (etcd needs a majority).',
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
    WORKER_COUNT: { type: kind.wholeNumber(0, 100), default: '2', about: 'Number of workers.' },
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
      about: 'CPU model of the machines; Talos needs x86-64-v2.',
    },
    DOMAIN_TYPE: {
      type: kind.oneOf('auto', 'kvm', 'qemu'),
      default: 'auto',
      about: 'auto: kvm if it is available, otherwise emulation.',
    },
    AUTOSTART: {
      type: kind.flag,
      default: 'true',
      about: 'Start the machines when the KVM host boots.',
    },
  },
  Storage: {
    NFS_SERVER: {
      type: kind.hostName,
      example: '10.0.0.5',
      about: 'NFS server of the nfs-appdata StorageClass; empty: no storage.',
    },
    NFS_SHARE: {
      type: kind.absolutePath,
      example: '/srv/appdata',
      about: 'Exported path on the NFS server.',
    },
    NFS_CSI_VERSION: {
      type: kind.version.transform((value) => value.slice(1)),
      default: '4.13.4',
      about: 'Version of the csi-driver-nfs chart.',
    },
    NFS_CSI_CHART: {
      type: kind.chartSource,
      default: 'https://raw.githubusercontent.com/kubernetes-csi/csi-driver-nfs/master/charts',
      about:
        'Source of the csi-driver-nfs chart: a chart repository, the address of a .tgz, oci://..., or a path on this machine.',
    },
    NFS_MOUNT_OPTIONS: {
      type: kind.list(kind.mountOption, 'mount options separated by commas'),
      default: 'nfsvers=4.1',
      about: 'Mount options of every volume.',
    },
    NFS_RECLAIM_POLICY: {
      type: kind.oneOf('Retain', 'Delete'),
      default: 'Retain',
      about: "What happens to a claim's data when the claim is deleted.",
    },
    NFS_MOUNT_PERMISSIONS: {
      type: kind.permissions,
      example: '0777',
      about:
        "Permissions of each claim's folder, and of the export itself; set again at every mount. Without it, a folder keeps its initial owner and mode (root, 0755), and pods that are not root need an fsGroup.",
    },
    NFS_DEFAULT_CLASS: {
      type: kind.flag,
      example: 'true',
      about:
        'Whether nfs-appdata is the default StorageClass, of claims that name none; without it, that stays as it is.',
    },
  },
  Behavior: {
    HEALTH_TIMEOUT: {
      type: kind.duration,
      default: '15m',
      about:
        'How long to wait for the cluster to become healthy, and for a machine to reboot in an upgrade.',
    },
    FAILURE_BUNDLE: {
      type: kind.flag,
      default: 'true',
      about:
        'Whether a failed stage looks for the cause and writes a diagnostics bundle to generated/<cluster>/bundles.',
    },
    UPGRADE_WORKERS_AT_ONCE: {
      type: kind.wholeNumber(1, 100),
      default: '1',
      about:
        'How many workers are upgraded in parallel; control planes are upgraded one at a time.',
    },
    UPGRADE_DRAIN_TIMEOUT: {
      type: kind.duration,
      default: '10m',
      about:
        'How long the drain of a machine may make no progress, with no pod evicted, before the upgrade stops.',
    },
    UPGRADE_GATE_COMMAND: {
      type: kind.commandLine,
      secret: true,
      about:
        'A command that must succeed before an upgrade continues with the next machine, for example a check of your storage.',
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

/** Settings that may be undefined. */
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
  | 'NFS_MOUNT_PERMISSIONS'
  | 'NFS_DEFAULT_CLASS'
  | 'HOST_PROXY'
  | 'UPGRADE_GATE_COMMAND'

type ValueOf<K extends SettingName> = AllSettings[K] extends { type: z.ZodType<infer T> }
  ? T
  : never

/** The settings of one cluster, checked and with defaults; the keys are those of the env file. */
export type Settings = { readonly [K in Exclude<SettingName, Optional>]: ValueOf<K> } & {
  readonly [K in Optional]: ValueOf<K> | undefined
} & {
  /** In LIBVIRT_URI's order, whose names are here. */
  readonly hosts: readonly HostSettings[]
  /** The hosts, by index, of machines with PLACE_<machine>, by the end of their names: cp1, w2. */
  readonly places: Readonly<Record<string, number>>
}

/** All settings by name. */
export const allSettings = Object.assign({}, ...Object.values(settingGroups)) as Record<
  SettingName,
  Setting
>

/** The values that may contain a secret, by setting; one that is not set is left out. */
export function secretSettings(settings: Settings): Partial<Record<SettingName, string>> {
  return Object.fromEntries(
    Object.entries(settings).filter(
      ([name, value]) =>
        value !== undefined &&
        (allSettings as Partial<typeof allSettings>)[name as SettingName]?.secret === true,
    ),
  ) as Partial<Record<SettingName, string>>
}
