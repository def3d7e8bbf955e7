/** The pods of a test, and the namespace that they run in. */
import type { KubeObject, PodObject } from '@talosmith/clients/kubernetes'
import { oursLabel, testLabel } from '../names.ts'

/** A busybox of 2 MB that the Kubernetes project's own tests use; every cluster that reaches registry.k8s.io can pull it. */
export const testImage = 'registry.k8s.io/e2e-test-images/busybox:1.29-4'

/** A folder of a test pod, and the claim behind it. */
interface Mount {
  readonly path: string
  readonly claim: string
}

/** What a test pod does, and where. */
interface TestPod {
  readonly name: string
  readonly node: string
  /** A shell script; what it prints is kept as the pod's message when it fails. */
  readonly script: string
  readonly mounts?: readonly Mount[]
  /** In the node's own network, which is where NFS mounts are made. */
  readonly hostNetwork?: boolean
  /** Runs as this user and group instead of root, as the PodSecurity level restricted demands, with the group as fsGroup. */
  readonly user?: number
}

/** The account of test pods: the namespace's own one is made by a controller, which may take its time. */
const serviceAccount = 'test'

/** A namespace for one run, with an account for its pods; `level` is the PodSecurity level that they need. */
export function testNamespace(name: string, level: 'privileged' | 'baseline'): KubeObject[] {
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: {
        ...oursLabel,
        [testLabel]: 'true',
        'pod-security.kubernetes.io/enforce': level,
        'pod-security.kubernetes.io/warn': level,
      },
    },
  }
  return [
    namespace,
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: serviceAccount, namespace: name, labels: oursLabel },
    },
  ]
}

/**
 * A pod that runs a script once. It is put on its node directly, so that no taint keeps it away. Without `user` it runs
 * as root, without capabilities: what root may do on the server is exactly what the driver needs.
 */
export function testPod(namespace: string, pod: TestPod): PodObject {
  const mounts = pod.mounts ?? []
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, namespace, labels: { ...oursLabel, [testLabel]: 'true' } },
    spec: {
      nodeName: pod.node,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      serviceAccountName: serviceAccount,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(pod.hostNetwork === true ? { hostNetwork: true } : {}),
      securityContext: {
        ...(pod.user === undefined
          ? { runAsUser: 0 }
          : {
              runAsNonRoot: true,
              runAsUser: pod.user,
              runAsGroup: pod.user,
              fsGroup: pod.user,
            }),
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'test',
          image: testImage,
          command: ['sh', '-ec', pod.script],
          terminationMessagePolicy: 'FallbackToLogsOnError',
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: mounts.map(({ path, claim }) => ({ name: claim, mountPath: path })),
        },
      ],
      volumes: mounts.map(({ claim }) => ({
        name: claim,
        persistentVolumeClaim: { claimName: claim },
      })),
      tolerations: [{ operator: 'Exists' }],
    },
  }
}
