import semver from 'semver'
import { stringify } from 'yaml'
import type { Cluster, Node } from '@talosmith/core'

/**
 * Our own part of a node's machine config, in the form that its Talos version takes. Talos refuses a
 * document kind that it does not know, and an old field beside the document that took its place.
 *
 * The host name is not here: NoCloud's meta-data gives it, which every version prefers to its own
 * default (controllers/network/hostname_config.go).
 */
export function renderPatch(cluster: Cluster, node: Node): string {
  const documents: object[] = []
  const hasVipDocument = atLeast(cluster, '1.12.0')
  const isControlPlane = node.role === 'controlplane'
  const vip = isControlPlane ? cluster.vip : undefined
  const machine =
    vip === undefined || hasVipDocument
      ? undefined
      : { network: { interfaces: [{ interface: link, vip: { ip: vip } }] } }
  // Without workers nothing could run but the control plane itself.
  const settings =
    isControlPlane && cluster.workers.length === 0
      ? { allowSchedulingOnControlPlanes: true }
      : undefined
  if (machine !== undefined || settings !== undefined)
    documents.push({
      ...(machine === undefined ? {} : { machine }),
      ...(settings === undefined ? {} : { cluster: settings }),
    })
  if (vip !== undefined && hasVipDocument)
    documents.push({ apiVersion: 'v1alpha1', kind: 'Layer2VIPConfig', name: vip, link })
  // The domains have an i6300esb: a machine that hangs is reset.
  documents.push({
    apiVersion: 'v1alpha1',
    kind: 'WatchdogTimerConfig',
    device: '/dev/watchdog0',
    timeout: '5m0s',
  })
  return documents.map((document) => stringify(document)).join('---\n')
}

/** The machines' only network link; nocloud images boot with net.ifnames=0. */
const link = 'eth0'

function atLeast({ settings }: Cluster, version: string): boolean {
  return semver.gte(semver.coerce(settings.TALOS_VERSION) ?? '0.0.0', version)
}
