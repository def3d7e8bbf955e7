/** One test of storage: its namespace, what is observed in it, and waiting for its pods. */
import { randomBytes } from 'node:crypto'
import { waitFor, type Log } from '@talosmith/core'
import { nameCause, watchCauses, type Cause, type Clue } from '../cause.ts'
import {
  listPath,
  type ClaimObject,
  type EventObject,
  type Kubernetes,
  type PodObject,
  type VolumeObject,
} from '@talosmith/clients/kubernetes'
import { notYetIfUnreachable } from '../kubernetes.ts'
import { oursLabel, testLabel, testPrefix } from '../names.ts'
import type { NfsExport } from '../storage-class.ts'

/** How often Kubernetes is asked how far a test is. */
export const pollEveryMs = 300
/** Everything in the namespace of one test. */
export interface RunState {
  readonly pods: readonly PodObject[]
  readonly events: readonly EventObject[]
  readonly claims: readonly ClaimObject[]
}

/** A new name for the namespace of a test. */
export function newRunName(kind: string): string {
  return `${testPrefix}${kind}-${randomBytes(3).toString('hex')}`
}

/** What there is in the namespace of a test. */
export async function observeRun(kubernetes: Kubernetes, namespace: string): Promise<RunState> {
  const [pods, events, claims] = await notYetIfUnreachable(() =>
    Promise.all([
      kubernetes.list<PodObject>(listPath('Pod', namespace)),
      kubernetes.list<EventObject>(listPath('Event', namespace)),
      kubernetes.list<ClaimObject>(listPath('PersistentVolumeClaim', namespace)),
    ]),
  )
  return { pods, events, claims }
}

/** A volume that is the whole export, mounted by the nodes without the driver, and a claim on it. */
export function exportVolume(
  namespace: string,
  { server, share }: NfsExport,
  mountOptions: readonly string[],
): [VolumeObject, ClaimObject] {
  const name = `${namespace}-export`
  const common = {
    accessModes: ['ReadWriteMany'],
    storageClassName: '',
  }
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name, labels: { ...oursLabel, [testLabel]: 'true' } },
      spec: {
        ...common,
        capacity: { storage: '1Mi' },
        persistentVolumeReclaimPolicy: 'Retain',
        nfs: { server, path: share },
        // Without retry=0 mount.nfs repeats a refused mount for two minutes before it reports it.
        mountOptions: [...mountOptions, 'retry=0'],
        claimRef: { namespace, name: 'export' },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'export', namespace },
      spec: { ...common, volumeName: name, resources: { requests: { storage: '1Mi' } } },
    },
  ]
}

/** What waiting for something of a test needs. */
export interface TestWait {
  readonly nfs: NfsExport
  readonly log: Log
  readonly withinMs: number
}

/**
 * Waits until every pod of a run has ended, one way or the other; returns the causes of those that did
 * not do what they should. `fact` reads in "waiting for ...".
 */
export async function awaitPods(
  kubernetes: Kubernetes,
  namespace: string,
  { fact, nfs, log, withinMs }: TestWait & { readonly fact: string },
): Promise<Cause[]> {
  const deadline = performance.now() + withinMs
  const hasLasted = watchCauses()
  return waitFor(
    fact,
    async () => {
      const state = await observeRun(kubernetes, namespace)
      const isLate = performance.now() > deadline
      const causes: Cause[] = []
      const open: string[] = state.pods.length === 0 ? ['no pod yet'] : []
      for (const pod of state.pods) {
        if (pod.status?.phase === 'Succeeded') continue
        const cause = podCause(pod, state.events, nfs)
        // Test pods are never restarted.
        if (isLate || pod.status?.phase === 'Failed')
          causes.push(cause ?? unnamedCause(pod, state.events))
        else if (cause !== undefined && hasLasted(pod.metadata.name, cause)) causes.push(cause)
        else open.push(`${nodeOf(pod)}: ${cause?.message ?? stateOf(pod)}`)
      }
      if (open.length > 0) throw new Error(open.join('; '))
      return causes
    },
    { log, withinMs: withinMs + 10 * pollEveryMs, everyMs: pollEveryMs },
  )
}

/** Why a pod did not do what it should, as far as its status and events tell. */
export function podCause(
  pod: PodObject,
  events: readonly EventObject[],
  nfs: NfsExport,
): Cause | undefined {
  const clues: Clue[] = [
    ...(pod.status?.containerStatuses ?? []).flatMap(({ state }) =>
      [
        state?.terminated?.exitCode === 0 ? undefined : state?.terminated?.message,
        words(state?.waiting?.reason, state?.waiting?.message),
      ].filter((text) => text !== undefined),
    ),
    ...warningsOf('Pod', pod.metadata.name, events),
  ].map((text) => ({ from: nodeOf(pod), text }))
  return nameCause(clues, nfs)
}

/** The texts of the warnings about one object. */
export function warningsOf(kind: string, name: string, events: readonly EventObject[]): string[] {
  return events
    .filter(
      ({ involvedObject, type }) =>
        type === 'Warning' && involvedObject?.kind === kind && involvedObject.name === name,
    )
    .map(({ reason, message }) => words(reason, message) ?? '')
}

function unnamedCause(pod: PodObject, events: readonly EventObject[]): Cause {
  const output = pod.status?.containerStatuses?.[0]?.state?.terminated?.message?.trim()
  return {
    code: 'STORAGE_TEST_FAILED',
    message: `the test on ${nodeOf(pod)} did not succeed`,
    because: output || warningsOf('Pod', pod.metadata.name, events).at(-1) || stateOf(pod),
    minDurationMs: 0,
    hint: `kubectl get events -A --field-selector involvedObject.name=${pod.metadata.name}`,
  }
}

function stateOf({ status }: PodObject): string {
  const state = status?.containerStatuses?.[0]?.state
  const reason =
    state?.waiting?.reason ?? status?.reason ?? status?.phase ?? 'not yet observed by its kubelet'
  return words(reason, state?.waiting?.message ?? status?.message) ?? reason
}

function nodeOf({ spec, metadata }: PodObject): string {
  return spec?.nodeName ?? metadata.name
}

function words(reason?: string, message?: string): string | undefined {
  const parts = [reason, message].filter((part) => part !== undefined && part !== '')
  return parts.length === 0 ? undefined : parts.join(': ')
}
