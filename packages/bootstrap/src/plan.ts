import { isDeepStrictEqual } from 'node:util'
import { Problem, type Change, type Cluster } from '@talosmith/core'
import { parseAllDocuments } from 'yaml'
import type { AccessFault } from './access.ts'
import type { ObservedNode } from './observe.ts'

/** What has to happen to bring machines to a running cluster. */
export interface BootstrapChange extends Change {
  readonly kind:
    | 'create-secrets'
    | 'generate-configs'
    | 'apply-config'
    | 'update-config'
    | 'bootstrap-etcd'
    | 'write-kubeconfig'
}

/** What the operator's machine lacks: secrets, configs. */
export function planConfigs(
  cluster: Cluster,
  has: { readonly secrets: boolean; readonly configs: boolean },
): BootstrapChange[] {
  const changes: BootstrapChange[] = []
  if (!has.secrets)
    changes.push({
      kind: 'create-secrets',
      target: 'secrets',
      summary: `Create the secrets of cluster ${cluster.name}`,
      risk: 'none',
    })
  if (!has.configs)
    changes.push({
      kind: 'generate-configs',
      target: 'configs',
      summary: `Generate and validate ${cluster.nodes.length} machine configs`,
      risk: 'none',
    })
  return changes
}

/** What machines lack: a config, or parts of it. Throws for a machine that belongs to another cluster. */
export function planConfigure(
  nodes: readonly (ObservedNode & { readonly desired: string })[],
): BootstrapChange[] {
  return nodes.flatMap(({ node, state, desired }): BootstrapChange[] => {
    if (state.kind === 'foreign')
      throw new Problem(
        'NODE_FOREIGN',
        `${node.name} (${node.address}) has a config of other secrets than ours`,
        {
          because: state.reason,
          now: 'nothing was changed',
          hint: 'either generated/ lost the secrets it was made with (put secrets.yaml back), or another machine has this address; or make the machine anew: CONFIRM=<cluster> npx nx run vm:destroy',
        },
      )
    if (state.kind !== 'configured')
      return [
        {
          kind: 'apply-config',
          target: node.name,
          summary: `Give ${node.name} its machine config`,
          risk: 'none',
        },
      ]
    return sameConfig(state.config, desired)
      ? []
      : [
          {
            kind: 'update-config',
            target: node.name,
            summary: `Change the machine config of ${node.name}`,
            to: 'as configs/ says',
            risk: 'restart',
          },
        ]
  })
}

/** Whether two configs say the same, whatever their order of keys and comments. */
export function sameConfig(one: string, other: string): boolean {
  if (one === other) return true
  const read = (text: string): unknown[] =>
    parseAllDocuments(text).map((document) => document.toJS() as unknown)
  return isDeepStrictEqual(read(one), read(other))
}

interface Started {
  /** Whether etcd runs, by control plane address. */
  readonly etcd: ReadonlyMap<string, boolean>
  readonly kubeconfig: AccessFault | undefined
}

/** What a configured cluster lacks: etcd, a kubeconfig. Throws rather than begin a second etcd. */
export function planStart(cluster: Cluster, { etcd, kubeconfig }: Started): BootstrapChange[] {
  const changes: BootstrapChange[] = []
  const [first] = cluster.controlPlanes
  if (first !== undefined && ![...etcd.values()].includes(true)) {
    if (kubeconfig === undefined)
      throw new Problem(
        'ETCD_DOWN',
        `etcd runs on no control plane of ${cluster.name}, which was started before`,
        {
          because: 'bootstrapping again would begin an empty cluster beside the old data',
          now: 'nothing was changed',
          hint: `if the control planes still boot, wait and run this again; if all of them were made anew, remove ${cluster.generated}/kubeconfig first`,
        },
      )
    changes.push({
      kind: 'bootstrap-etcd',
      target: first.name,
      summary: `Bootstrap etcd on ${first.name}`,
      risk: 'none',
    })
  }
  if (kubeconfig !== undefined)
    changes.push({
      kind: 'write-kubeconfig',
      target: 'kubeconfig',
      summary: 'Fetch the kubeconfig',
      from: kubeconfig,
      risk: 'none',
    })
  return changes
}
