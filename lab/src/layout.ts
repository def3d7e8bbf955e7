/** Names, addresses and folders of the lab. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'

/** One KVM host of the lab: its names, addresses and folders. A second one differs in number only. */
export interface LabHost {
  readonly name: string
  readonly namespace: string
  readonly bridge: string
  /** The host's own address on the bridge. */
  readonly address: string
  /** This machine's address on the same wire, through `veth`. */
  readonly machineAddress: string
  readonly prefixLength: number
  /** This machine's end of the cable. */
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

export const kvm1: LabHost = {
  name: 'kvm1',
  namespace: 'talosmith-kvm1',
  bridge: 'br0',
  address: '10.213.77.2',
  machineAddress: '10.213.77.1',
  prefixLength: 24,
  veth: 'tsm-kvm1',
  uplink: 'up0',
  folder: join(labFolder, 'kvm1'),
}

export const factoryPort = 8480

/** Folder that the factory serves chart repositories from. */
export const chartFolder: string = join(labFolder, 'charts')

/** The factory's injected faults, for tests. */
export const faultsFile: string = join(labFolder, 'faults.json')

/** The home folders of the host's logins other than root's. */
export const homeFolder = '/srv/home'

/** The folder that the host exports over NFS, as the host names it. */
export const exportPath = '/srv/appdata'

/** A read-only export. */
export const readOnlyExportPath = '/srv/readonly'

/** An export with root squashing, which the squashed user may not write to. */
export const squashedExportPath = '/srv/squashed'
