/** Names, addresses and folders of the lab. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'

/** One KVM host of the lab: its names, addresses and folders. */
export interface LabHost {
  readonly name: string
  readonly namespace: string
  readonly bridge: string
  /** The host's own address on the bridge. */
  readonly address: string
  /** Its storage pool, in /var/lib/libvirt/<folder>. */
  readonly pool: { readonly name: string; readonly folder: string }
  readonly prefixLength: number
  /** What its cable ends in: this machine, with this address, or another host's bridge. */
  readonly cable: { readonly address: string } | { readonly host: LabHost }
  /** That end of the cable. */
  readonly veth: string
  /** The host's end of the cable. */
  readonly uplink: string
  /** Holds the host's own file system. */
  readonly folder: string
}

/** The lab's data in this checkout. */
export const labFolder: string = join(projectRoot, '.lab')

/** Shared by all checkouts: built tools, kernels, guest images. */
export const cacheFolder: string = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'talosmith',
  'lab',
)

export const sshFolder: string = join(labFolder, 'ssh')

/** This machine's address on the host's network. */
export const machineAddress = '10.213.77.1'

export const kvm1: LabHost = {
  name: 'kvm1',
  namespace: 'talosmith-kvm1',
  bridge: 'br0',
  address: '10.213.77.2',
  pool: { name: 'default', folder: 'images' },
  prefixLength: 24,
  cable: { address: machineAddress },
  veth: 'tsm-kvm1',
  uplink: 'up0',
  folder: join(labFolder, 'kvm1'),
}

/** A second host in the same network, with names of its own; only chapters start it. */
export const kvm2: LabHost = {
  name: 'kvm2',
  namespace: 'talosmith-kvm2',
  bridge: 'vmbr1',
  address: '10.213.77.3',
  pool: { name: 'vms', folder: 'vms' },
  prefixLength: 24,
  cable: { host: kvm1 },
  veth: 'tsm-kvm2',
  uplink: 'up0',
  folder: join(labFolder, 'kvm2'),
}

export const factoryPort = 8480

/** The address of libvirt for a login such as root@10.213.77.2, with the lab's key. */
export const libvirtUri = (login: string, knownHosts = join(sshFolder, 'known_hosts')): string =>
  `qemu+ssh://${login}/system?keyfile=${sshFolder}/id_ed25519&known_hosts=${knownHosts}`

/** Folder that the factory serves chart repositories from. */
export const chartFolder: string = join(labFolder, 'charts')

/** The factory's injected faults, for tests. */
export const faultsFile: string = join(labFolder, 'faults.json')

/** Folders of the host's logins other than root's. */
export const loginFolder = '/srv/logins'

/** The folder that the host exports over NFS, as the host names it. */
export const exportPath = '/srv/appdata'

/** A read-only export. */
export const readOnlyExportPath = '/srv/readonly'

/** An export with root squashing, which the squashed user may not write to. */
export const squashedExportPath = '/srv/squashed'
