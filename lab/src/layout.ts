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
  /** What stands for the host's own file system. */
  readonly folder: string
}

/** Everything the lab keeps in this checkout. */
export const labFolder: string = join(projectRoot, '.lab')

/** What survives checkouts: built tools, kernels, guest images. */
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

/** Where the factory takes orders to misbehave from, for tests. */
export const faultsFile: string = join(labFolder, 'faults.json')

/** The folder that the host exports over NFS, as the host names it. */
export const exportPath = '/srv/appdata'

/** Another one, which nobody may write to. */
export const readOnlyExportPath = '/srv/readonly'

/** A third, on which root becomes nobody, who may not write there. */
export const squashedExportPath = '/srv/squashed'
