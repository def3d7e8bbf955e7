/** The clusters of the bench: settings in the environment, which override env/example.env. */
import { execFileSync } from 'node:child_process'
import { loadCluster, projectRoot, type Cluster } from '@talosmith/core'
import { networkOf } from '../support/local-network.ts'

export type Overrides = Readonly<Record<string, string>>

/** A cluster of `count` machines on addresses of this machine, named `bench<count>`. */
export async function benchCluster(
  count: number,
  where: { readonly libvirtUri: string; readonly factory: string },
): Promise<{ readonly cluster: Cluster; readonly overrides: Overrides }> {
  const controlPlanes = count < 5 ? 1 : 3
  const network = networkOf(count)
  const address = (last: number): string => network.replace(/0\/24$/, String(last))
  const overrides: Overrides = {
    CLUSTER: 'example',
    CLUSTER_NAME: `bench${count}`,
    LIBVIRT_URI: where.libvirtUri,
    TALOS_FACTORY_URL: where.factory,
    TALOS_VERSION: 'v1.13.9',
    KUBERNETES_VERSION: 'v1.36.3',
    NETWORK_BRIDGE: '',
    NETWORK_NAME: 'default',
    NETWORK_CIDR: network,
    // The API server's certificate is for this address.
    CLUSTER_ENDPOINT: address(9),
    CONTROL_PLANE_COUNT: String(controlPlanes),
    WORKER_COUNT: String(count - controlPlanes),
    DOMAIN_TYPE: 'qemu',
    UEFI: 'false',
    AUTOSTART: 'false',
    STORAGE_POOL: 'default',
    NFS_SERVER: address(5),
    NFS_SHARE: '/srv/appdata',
  }
  const { cluster } = await loadCluster(projectRoot, 'example', overrides)
  return { cluster, overrides }
}

/** The path of a program, or undefined. */
export function which(name: string): string | undefined {
  try {
    return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}
