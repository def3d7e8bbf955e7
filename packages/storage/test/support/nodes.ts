/** Plays the part of nodes, driver and provisioner against a real API: what they would report, it reports. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiServer, Json, JsonValue } from './api-server.ts'

/** What the pretended cluster does wrong; changed by a test while it runs. */
export interface Failures {
  /** Message with which a pod's script fails, by pod name. */
  readonly pods: Map<string, string>
  /** Warning that keeps claims pending. */
  provisioning?: string
  /** The driver's pods never get ready. */
  driverDown?: boolean
}

export interface PretendedNodes {
  readonly failures: Failures
  stop(): Promise<void>
}

export async function pretendNodes(server: ApiServer, names: string[]): Promise<PretendedNodes> {
  const { api } = server
  for (const name of names) {
    await api('POST', '/api/v1/nodes', { kind: 'Node', metadata: { name } })
    const conditions = [{ type: 'Ready', status: 'True' }]
    await api('PATCH', `/api/v1/nodes/${name}/status`, { status: { conditions } })
    await api('PATCH', `/api/v1/nodes/${name}`, { spec: { taints: null } })
  }
  const failures: Failures = { pods: new Map() }
  let isStopped = false
  const work = (async () => {
    while (!isStopped) {
      await Promise.all([workloads(), pods(), volumes()]).catch(() => undefined)
      await sleep(100)
    }
  })()
  return {
    failures,
    async stop() {
      isStopped = true
      await work
    },
  }

  async function items(path: string): Promise<Json[]> {
    return ((await api('GET', path)).body['items'] ?? []) as Json[]
  }

  async function workloads(): Promise<void> {
    const ready = failures.driverDown === true ? 0 : undefined
    const apps = '/apis/apps/v1/namespaces/kube-system'
    for (const object of await items(`${apps}/deployments`)) {
      const replicas = at(object, 'spec', 'replicas')
      await report(object, `${apps}/deployments`, {
        replicas,
        updatedReplicas: replicas,
        readyReplicas: ready ?? replicas,
        availableReplicas: ready ?? replicas,
      })
    }
    for (const object of await items(`${apps}/daemonsets`))
      await report(object, `${apps}/daemonsets`, {
        currentNumberScheduled: names.length,
        desiredNumberScheduled: names.length,
        updatedNumberScheduled: names.length,
        numberMisscheduled: 0,
        numberReady: ready ?? names.length,
        numberAvailable: ready ?? names.length,
      })
  }

  async function report(object: Json, path: string, status: Json): Promise<void> {
    const observedGeneration = at(object, 'metadata', 'generation')
    const name = String(at(object, 'metadata', 'name'))
    const body = { status: { observedGeneration, ...status } }
    await api('PATCH', `${path}/${name}/status`, body)
  }

  async function pods(): Promise<void> {
    for (const pod of await items('/api/v1/pods')) {
      const name = String(at(pod, 'metadata', 'name'))
      const path = `/api/v1/namespaces/${String(at(pod, 'metadata', 'namespace'))}/pods/${name}`
      if (at(pod, 'metadata', 'deletionTimestamp') !== undefined)
        await api('DELETE', path, { gracePeriodSeconds: 0 })
      if (at(pod, 'status', 'phase') !== 'Pending') continue
      const message = failures.pods.get(name)
      const terminated = { exitCode: message === undefined ? 0 : 1, message: message ?? '' }
      const containerStatuses = [
        {
          name: 'test',
          image: 'busybox',
          imageID: '',
          ready: false,
          restartCount: 0,
          state: { terminated },
        },
      ]
      const phase = message === undefined ? 'Succeeded' : 'Failed'
      await api('PATCH', `${path}/status`, { status: { phase, containerStatuses } })
    }
  }

  async function volumes(): Promise<void> {
    for (const claim of await items('/api/v1/persistentvolumeclaims')) {
      if (at(claim, 'spec', 'storageClassName') !== 'nfs-appdata') continue
      if (at(claim, 'status', 'phase') !== 'Pending') continue
      const { name, namespace, uid } = claim['metadata'] as Record<string, string>
      if (failures.provisioning !== undefined) {
        await api('POST', `/api/v1/namespaces/${namespace}/events`, {
          metadata: { name: `${name}-provisioning`, namespace },
          involvedObject: { kind: 'PersistentVolumeClaim', name, namespace, uid },
          type: 'Warning',
          reason: 'ProvisioningFailed',
          message: failures.provisioning,
        })
        continue
      }
      const { status, body } = await api(
        'GET',
        '/apis/storage.k8s.io/v1/storageclasses/nfs-appdata',
      )
      // A claim stays pending without its class; volumes are still deleted.
      if (status !== 200) continue
      const { server: nfs, share } = body['parameters'] as Record<string, string>
      const handle = `${nfs}#${share?.replace(/^\//, '')}#${namespace}-${name}-pvc-${uid}##`
      await api('POST', '/api/v1/persistentvolumes', {
        metadata: {
          name: `pvc-${uid}`,
          annotations: { 'pv.kubernetes.io/provisioned-by': 'nfs.csi.k8s.io' },
        },
        spec: {
          accessModes: ['ReadWriteMany'],
          capacity: { storage: '1Mi' },
          storageClassName: 'nfs-appdata',
          persistentVolumeReclaimPolicy: body['reclaimPolicy'],
          csi: { driver: 'nfs.csi.k8s.io', volumeHandle: handle },
          claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid },
        },
      })
    }
    for (const volume of await items('/api/v1/persistentvolumes')) {
      const isOver = at(volume, 'status', 'phase') === 'Released'
      if (isOver && at(volume, 'spec', 'persistentVolumeReclaimPolicy') === 'Delete')
        await api('DELETE', `/api/v1/persistentvolumes/${String(at(volume, 'metadata', 'name'))}`)
    }
  }
}

function at(object: JsonValue, ...path: string[]): JsonValue {
  return path.reduce<JsonValue>((value, key) => (value as Json | undefined)?.[key], object)
}
