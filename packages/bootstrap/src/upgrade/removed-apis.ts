/** Finds APIs that are in use and that a later Kubernetes version no longer serves. */
import { minute, Problem, reasonOf, waitFor, type Cluster, type Log } from '@talosmith/core'
import semver from 'semver'
import type { Kubernetes } from '@talosmith/clients/kubernetes'

/** An API that a client has used, and that a later Kubernetes version no longer serves. */
export interface RemovedApi {
  /** As in 'flowschemas.v1beta3.flowcontrol.apiserver.k8s.io'. */
  readonly name: string
  /** The minor version that removes it, as in '1.32'. */
  readonly removedIn: string
}

const metric = 'apiserver_requested_deprecated_apis'

/**
 * Reads from an API server's metrics which deprecated APIs were requested since it started;
 * https://kubernetes.io/docs/reference/using-api/deprecation-policy/
 */
export function parseDeprecatedApis(metrics: string): RemovedApi[] {
  return metrics.split('\n').flatMap((line) => {
    const [, text, value] = new RegExp(`^${metric}\\{(.*)\\}\\s+(\\S+)`).exec(line) ?? []
    if (text === undefined || Number(value) === 0) return []
    const labels = new Map(
      [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, label]) => [name, label] as const),
    )
    const removedIn = labels.get('removed_release') ?? ''
    if (removedIn === '') return []
    const resource = [labels.get('resource'), labels.get('subresource')].filter(Boolean).join('/')
    const parts = [resource, labels.get('version'), labels.get('group')]
    return [{ name: parts.filter(Boolean).join('.'), removedIn }]
  })
}

/** Those of the APIs that a Kubernetes version no longer serves, without duplicates. */
export function removedBy(version: string, apis: readonly RemovedApi[]): RemovedApi[] {
  const gone = apis.filter(({ removedIn }) => semver.gte(version, `${removedIn}.0`))
  return [...new Map(gone.map((api) => [api.name, api])).values()]
}

/** Queries every control plane: each API server counts only its own requests. */
export async function observeRemovedApis(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  kubernetes: Kubernetes,
  version: string,
): Promise<RemovedApi[]> {
  const metrics = await Promise.all(
    controlPlanes.map(async ({ name, address }) => {
      try {
        return await kubernetes.read('/metrics', { server: `https://${address}:6443` })
      } catch (error) {
        throw new Error(`${name}: ${reasonOf(error)}`)
      }
    }),
  )
  return removedBy(version, metrics.flatMap(parseDeprecatedApis))
}

/** Throws APIS_REMOVED while clients use APIs that a Kubernetes version no longer serves. */
export async function refuseRemovedApis(
  { cluster, kubernetes, log }: { cluster: Cluster; kubernetes: Kubernetes; log: Log },
  version: string,
): Promise<void> {
  const apis = await waitFor(
    'the API servers to report which APIs are in use',
    () => observeRemovedApis(cluster, kubernetes, version),
    {
      log,
      withinMs: minute,
      code: 'KUBERNETES_UNREACHABLE',
      hint: 'run the same command again when every API server answers',
    },
  )
  if (apis.length === 0) return
  throw new Problem('APIS_REMOVED', `Kubernetes ${version} no longer serves APIs that are in use`, {
    because: apis.map(({ name, removedIn }) => `${name} was removed in ${removedIn}`).join('\n'),
    now: 'Kubernetes was not changed',
    hint: 'update the clients that use them; an API server counts their requests until it restarts (talosctl reboot, one control plane at a time); then run the same command again',
  })
}
