/** Judges how control planes are spread over the hosts: what the loss of one means for etcd. Pure. */
import type { Cluster } from '@talosmith/core'
import { hostOf, type ObservedHost } from '@talosmith/vm'
import type { Check } from './check.ts'

/**
 * A warning where one of several hosts has so many control planes that etcd would lose its quorum with it. A cluster on
 * one host, or with one control plane, has no such choice.
 */
export function judgeSpread(cluster: Cluster, hosts: readonly ObservedHost[]): Check[] {
  const { controlPlanes, settings } = cluster
  const count = controlPlanes.length
  if (settings.LIBVIRT_URI.length < 2 || count < 3) return []
  const mayFail = Math.floor((count - 1) / 2)
  return hosts.flatMap((observed): Check[] => {
    const there = controlPlanes.filter((node) => hostOf(cluster, node, hosts) === observed)
    if (there.length <= mayFail) return []
    const others = count - there.length
    return [
      {
        area: observed.host,
        check: 'quorum',
        verdict: 'warning',
        detail: `has ${there.length} of ${count} control planes: when this host is down, etcd has no quorum, and the Kubernetes API stops, although ${others} ${others === 1 ? 'runs' : 'run'} elsewhere`,
        remedy: `${count} control planes survive the loss of a host on three hosts or more with at most ${mayFail} on each; otherwise, keep backups of etcd (bootstrap:backup)`,
      },
    ]
  })
}
