/** The claim of a proof: bound, on our export, and expanded. */
import { Problem, waitFor } from '@talosmith/core'
import { causeProblem, nameCause, watchCauses } from '../cause.ts'
import {
  objectPath,
  type ClaimObject,
  type Kubernetes,
  type VolumeObject,
} from '@talosmith/clients/kubernetes'
import { storageClassName, testClaimName, testLabel } from '../names.ts'
import type { NfsExport } from '../storage-class.ts'
import { observeRun, pollEveryMs, warningsOf, type TestWait } from './run.ts'

/** The claim of a proof. */
export function testClaim(namespace: string): ClaimObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: testClaimName, namespace, labels: { [testLabel]: 'true' } },
    spec: {
      storageClassName,
      accessModes: ['ReadWriteMany'],
      resources: { requests: { storage: '1Mi' } },
    },
  }
}

/** Waits until the claim is bound; returns its volume's name. Throws a Problem that names the cause. */
export async function awaitBound(
  kubernetes: Kubernetes,
  namespace: string,
  { nfs, log, withinMs }: TestWait,
): Promise<string> {
  const deadline = performance.now() + withinMs
  const hasLasted = watchCauses()
  return waitFor(
    'the claim to be bound',
    async () => {
      const { claims, events } = await observeRun(kubernetes, namespace)
      const claim = claims.find(({ metadata }) => metadata.name === testClaimName)
      const volume = claim?.spec?.volumeName
      if (claim?.status?.phase === 'Bound' && volume !== undefined) return volume
      const warnings = warningsOf('PersistentVolumeClaim', testClaimName, events)
      const clues = warnings.map((text) => ({ from: 'the provisioner', text }))
      const cause = nameCause(clues, nfs)
      if (cause !== undefined && (hasLasted('claim', cause) || performance.now() > deadline))
        throw causeProblem(cause, 'the driver and the StorageClass are there')
      throw new Error(cause?.message ?? warnings.at(-1) ?? claim?.status?.phase ?? 'Pending')
    },
    {
      log,
      withinMs: withinMs + 10 * pollEveryMs,
      everyMs: pollEveryMs,
      code: 'CLAIM_NOT_BOUND',
      hint: 'kubectl -n kube-system logs -l app=csi-nfs-controller --all-containers --tail=50',
    },
  )
}

/** Checks that a bound volume is on our export; returns its sub-directory. */
export async function inspectVolume(
  kubernetes: Kubernetes,
  name: string,
  { server, share }: NfsExport,
): Promise<string> {
  const volume = await kubernetes.get<VolumeObject>(objectPath('PersistentVolume', name))
  const handle = volume?.spec?.csi?.volumeHandle ?? ''
  const [itsServer, itsShare, subDirectory] = handle.split('#')
  const trimmed = share.replace(/^\/+|\/+$/g, '')
  if (itsServer === server && itsShare === trimmed && subDirectory) return subDirectory
  throw new Problem('VOLUME_ELSEWHERE', `the volume ${name} is not on ${server}:${share}`, {
    because: `its handle is ${handle || 'empty'}`,
    hint: 'npx nx run storage:install (it replaces the StorageClass where it differs)',
  })
}

/** Asks for a larger claim, which the API must accept. */
export async function expand(kubernetes: Kubernetes, namespace: string): Promise<void> {
  const path = objectPath('PersistentVolumeClaim', testClaimName, namespace)
  await kubernetes
    .patch(path, { spec: { resources: { requests: { storage: '2Mi' } } } })
    .catch((cause: unknown) => {
      throw new Problem('EXPANSION_REFUSED', `a claim of ${storageClassName} cannot be expanded`, {
        cause,
        because: cause instanceof Problem ? cause.because : undefined,
        hint: 'npx nx run storage:install (it allows expansion in the StorageClass)',
      })
    })
}
