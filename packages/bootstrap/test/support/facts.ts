import type { Cluster } from '@talosmith/core'
import type { MachineStatus } from '@talosmith/clients/talos'
import type { GateFacts } from '../../src/restart/gate.ts'
import type { NodeObject } from '@talosmith/clients/kubernetes'

/** A machine that runs and is ready. */
export const ready: MachineStatus = {
  stage: 'running',
  status: { ready: true, unmetConditions: null },
}

/** A Kubernetes node that is Ready, at its address. */
export function readyNode(name: string, address: string, kubeletVersion = 'v1.36.3'): NodeObject {
  return {
    metadata: { name },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      addresses: [{ type: 'InternalIP', address }],
      nodeInfo: { kubeletVersion },
    },
  }
}

/** A cluster in which nothing is wrong; the first control plane leads etcd. */
export function wellFacts(cluster: Cluster): GateFacts {
  return {
    etcd: {
      members: cluster.controlPlanes.map(({ name }, index) => ({
        id: `id${index + 1}`,
        name,
        isLearner: false,
      })),
      status: cluster.controlPlanes.map(({ address }, index) => ({
        node: address,
        id: `id${index + 1}`,
        leader: 'id1',
        raftIndex: 5000 + index,
        raftTerm: 3,
        isLearner: false,
        errors: '',
      })),
      alarms: [],
      silence: new Map(),
    },
    machines: new Map(cluster.nodes.map(({ name }) => [name, { ok: true, value: ready }])),
    nodes: cluster.nodes.map(({ name, address }) => readyNode(name, address)),
  }
}
