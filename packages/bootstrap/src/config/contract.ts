/** The patch that Talosmith generates for each machine config, by Talos version. */
import semver from 'semver'
import { stringify } from 'yaml'
import type { Cluster, Node } from '@talosmith/core'

/**
 * Which form a Talos version requires for the patch that we generate. Talos rejects unknown document
 * kinds, and a deprecated field next to the document that replaces it, so the form depends on the machine's
 * version. What `gen config --talos-version` writes in the right form by itself (disk,
 * installer image, KubePrism, host DNS) is not repeated here.
 */
export interface Contract {
  /** The VIP is a document of its own, Layer2VIPConfig; before, part of machine.network (deprecated in 1.12). */
  readonly hasVipDocument: boolean
  /**
   * A node's taints are in a document of their own, KubeNodeConfig; before, a control plane that runs
   * workloads set cluster.allowSchedulingOnControlPlanes, which 1.14 rejects next to that document.
   */
  readonly hasNodeDocument: boolean
}

/** The contract of a Talos version. */
export function contractOf(talosVersion: string): Contract {
  const minor = semver.coerce(talosVersion) ?? '0.0.0'
  return {
    hasVipDocument: semver.gte(minor, '1.12.0'),
    hasNodeDocument: semver.gte(minor, '1.14.0'),
  }
}

/** The machines' only network link; nocloud images boot with net.ifnames=0. */
const link = 'eth0'

/**
 * The generated patch of a node's machine config: the VIP, the watchdog, and scheduling on control planes
 * when there are no workers.
 *
 * The host name is not here: NoCloud's meta-data gives it, and every version prefers that to the
 * generated HostnameConfig `auto: stable` (controllers/network/hostname_config.go), while a name in
 * the config would need one form before 1.12 and another after. So configs of one role are equal.
 */
export function renderPatch(cluster: Cluster, { role }: Pick<Node, 'role'>): string {
  const { hasVipDocument, hasNodeDocument } = contractOf(cluster.settings.TALOS_VERSION)
  const vip = role === 'controlplane' ? cluster.vip : undefined
  const takesWorkloads = role === 'controlplane' && cluster.workers.length === 0
  const base = {
    ...(vip === undefined || hasVipDocument
      ? {}
      : { machine: { network: { interfaces: [{ interface: link, vip: { ip: vip } }] } } }),
    ...(takesWorkloads && !hasNodeDocument
      ? { cluster: { allowSchedulingOnControlPlanes: true } }
      : {}),
  }
  const documents = [
    ...(Object.keys(base).length === 0 ? [] : [base]),
    ...(takesWorkloads && hasNodeDocument
      ? [
          {
            apiVersion: 'v1alpha1',
            kind: 'KubeNodeConfig',
            taints: { 'node-role.kubernetes.io/control-plane': { $patch: 'delete' } },
          },
        ]
      : []),
    ...(vip !== undefined && hasVipDocument
      ? [{ apiVersion: 'v1alpha1', kind: 'Layer2VIPConfig', name: vip, link }]
      : []),
    // The machines have an i6300esb: a machine that hangs is reset.
    {
      apiVersion: 'v1alpha1',
      kind: 'WatchdogTimerConfig',
      device: '/dev/watchdog0',
      timeout: '5m0s',
    },
  ]
  return documents.map((document) => stringify(document)).join('---\n')
}
