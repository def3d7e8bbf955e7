/** The plan of storage: what is to be installed, changed or removed. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Problem, type Change, type Cluster } from '@talosmith/core'
import {
  controllerName,
  mountOptionsSecret,
  nodeDriverName,
  releaseName,
  releaseNamespace,
  storageClassName,
} from './names.ts'
import type { Claim, ObservedStorage } from './observe.ts'
import type { Release } from './release.ts'
import {
  canChangeInPlace,
  compareSpecs,
  compareSurroundings,
  neededExport,
  nfsExport,
  storageClassSpec,
} from './storage-class.ts'
import { chartValues } from './values.ts'

/** One change of an install or a removal of storage. */
export interface StorageChange extends Change {
  readonly kind:
    | 'check-chart'
    | 'check-nodes'
    | 'clear-release'
    | 'install-release'
    | 'create-storage-class'
    | 'update-storage-class'
    | 'replace-storage-class'
    | 'prove-storage'
    | 'remove-storage-class'
    | 'remove-release'
    | 'remove-mount-options'
}

/** The changes after which the driver and nfs-appdata match the settings and are verified. */
export function planInstall(cluster: Cluster, observed: ObservedStorage): StorageChange[] {
  refuseForeign(observed)
  const { server, share } = neededExport(cluster)
  const release = planRelease(cluster, observed)
  const storageClass = planStorageClass(cluster, observed)
  const isProven = observed.storageClass?.proven === fingerprint(cluster)
  if (release.length + storageClass.length === 0 && isProven) return []
  const prove = change('prove-storage', server, `Prove storage with a claim on ${server}:${share}`)
  if (release.length + storageClass.length === 0) return [prove]
  const check = change(
    'check-nodes',
    server,
    `Check that every node reaches ${server} and can write to ${share}`,
  )
  const chart = release.some(({ kind }) => kind === 'install-release')
    ? [change('check-chart', releaseName, `Look up chart ${describeChart(cluster)}`)]
    : []
  return [...chart, check, ...release, ...storageClass, prove]
}

/** The reverse: removes nfs-appdata and the driver; volumes and the data on the server stay. */
export function planUninstall(observed: ObservedStorage): StorageChange[] {
  const changes: StorageChange[] = []
  if (observed.storageClass?.ours === true)
    changes.push(
      change(
        'remove-storage-class',
        `StorageClass/${storageClassName}`,
        `Remove StorageClass ${storageClassName}`,
      ),
    )
  if (observed.release?.ours === true)
    changes.push({
      ...change(
        'remove-release',
        `${releaseNamespace}/${releaseName}`,
        `Remove the NFS driver; the data on the server stays`,
      ),
      from: observed.release.chartVersion,
    })
  // A removal that was interrupted has left it, perhaps with the note that the class was the default class.
  else if (observed.hasMountOptions === true && observed.storageClass?.ours !== false)
    changes.push(
      change(
        'remove-mount-options',
        `Secret/${mountOptionsSecret}`,
        `Remove the Secret ${mountOptionsSecret}, which is left of ${storageClassName}`,
      ),
    )
  return changes
}

/** The install, or the removal when NFS_SERVER was cleared. */
export function planStorage(cluster: Cluster, observed: ObservedStorage): StorageChange[] {
  return nfsExport(cluster) === undefined ? planUninstall(observed) : planInstall(cluster, observed)
}

/** Refuses a removal while claims are open, unless it is `confirmed`. */
export function checkClaims(cluster: Cluster, claims: readonly Claim[], confirmed: boolean): void {
  if (claims.length === 0 || confirmed) return
  const list = claims.map(({ namespace, name, phase }) => `${namespace}/${name} (${phase})`)
  throw new Problem(
    'CLAIMS_OPEN',
    `${claims.length} claim${claims.length === 1 ? '' : 's'} of ${storageClassName} would lose the driver`,
    {
      because: list.join('\n'),
      now: 'nothing was changed',
      hint: `delete them, or say that you mean it: CONFIRM=${cluster.name} in front of the command (the data on the server stays)`,
    },
  )
}

/** Identifies the state that was verified: chart, values, StorageClass and nodes. */
export function fingerprint(cluster: Cluster): string {
  const state = [
    cluster.settings.NFS_CSI_VERSION,
    chartValues(cluster),
    storageClassSpec(cluster),
    cluster.nodes.map(({ name }) => name),
  ]
  return createHash('sha256').update(JSON.stringify(state)).digest('hex').slice(0, 16)
}

function planRelease(cluster: Cluster, observed: ObservedStorage): StorageChange[] {
  const { release } = observed
  const { NFS_CSI_VERSION: wanted } = cluster.settings
  const target = `${releaseNamespace}/${releaseName}`
  const install: StorageChange = {
    ...change('install-release', target, `Install the NFS driver ${wanted}`),
    to: wanted,
  }
  if (release === undefined) return [install]
  const from = `${release.chartVersion}, ${release.status}`
  if (isUnfinished(release))
    return [
      {
        ...change('clear-release', release.record, `Clear revision ${release.revision}, cut short`),
        from,
      },
      install,
    ]
  if (release.status !== 'deployed') return [{ ...install, from }]
  if (release.chartVersion !== wanted)
    return [
      {
        ...install,
        summary: `Change the NFS driver to ${wanted}`,
        from: release.chartVersion,
        risk: 'restart',
      },
    ]
  if (!isDeepStrictEqual(release.values, chartValues(cluster)))
    return [
      {
        ...install,
        summary: 'Change the values of the NFS driver',
        from: JSON.stringify(release.values),
        to: JSON.stringify(chartValues(cluster)),
        risk: 'restart',
      },
    ]
  const missing = [
    ...(observed.controller === undefined ? [controllerName] : []),
    ...(observed.nodeDriver === undefined ? [nodeDriverName] : []),
  ]
  if (missing.length > 0)
    return [
      {
        ...install,
        summary: 'Bring back what is missing of the NFS driver',
        from: `without ${missing.join(' and ')}`,
      },
    ]
  return []
}

/** Whether helm was killed in this revision: every later helm takes it for an operation in progress. */
export function isUnfinished({ status }: Pick<Release, 'status'>): boolean {
  return status.startsWith('pending-') || status === 'uninstalling'
}

function planStorageClass(
  cluster: Cluster,
  { storageClass, wasDefault }: ObservedStorage,
): StorageChange[] {
  const target = `StorageClass/${storageClassName}`
  const wanted = storageClassSpec(cluster)
  if (storageClass === undefined)
    return [
      {
        ...change('create-storage-class', target, `Create StorageClass ${storageClassName}`),
        ...(isDefaultAgain(cluster, wasDefault) && { to: 'default=true, as it was' }),
      },
    ]
  const differences = [
    ...compareSpecs(storageClass.spec, wanted),
    ...compareSurroundings(cluster, { ...storageClass, wasDefault }),
  ]
  if (differences.length === 0) return []
  const list = (side: 'from' | 'to'): string =>
    differences.map((difference) => `${difference.field}=${difference[side]}`).join(' ')
  const values = { from: list('from'), to: list('to') }
  return canChangeInPlace(differences)
    ? [
        {
          ...change('update-storage-class', target, `Update StorageClass ${storageClassName}`),
          ...values,
        },
      ]
    : [
        {
          ...change(
            'replace-storage-class',
            target,
            `Replace StorageClass ${storageClassName}; existing volumes keep their old options`,
          ),
          ...values,
        },
      ]
}

/** Whether a class that a killed run deleted becomes the default class again: no setting decides that. */
function isDefaultAgain({ settings }: Cluster, wasDefault: true | undefined): boolean {
  return wasDefault === true && settings.NFS_DEFAULT_CLASS === undefined
}

function refuseForeign({ release, storageClass }: ObservedStorage): void {
  if (release !== undefined && !release.ours)
    throw new Problem(
      'RELEASE_NOT_OURS',
      `there is a Helm release ${releaseName} that is not ours`,
      {
        because: `${releaseNamespace}/${release.record} lacks the label app.kubernetes.io/managed-by=talosmith`,
        now: 'nothing was changed',
        hint: `to hand it over: kubectl -n ${releaseNamespace} label secret ${release.record} app.kubernetes.io/managed-by=talosmith`,
      },
    )
  if (storageClass !== undefined && !storageClass.ours)
    throw new Problem(
      'STORAGE_CLASS_NOT_OURS',
      `there is a StorageClass ${storageClassName} that is not ours`,
      {
        because: 'it lacks the label app.kubernetes.io/managed-by=talosmith',
        now: 'nothing was changed',
        hint: `to hand it over: kubectl label storageclass ${storageClassName} app.kubernetes.io/managed-by=talosmith`,
      },
    )
}

function describeChart({ settings }: Cluster): string {
  return `${releaseName} ${settings.NFS_CSI_VERSION} from ${settings.NFS_CSI_CHART}`
}

function change(kind: StorageChange['kind'], target: string, summary: string): StorageChange {
  return { kind, target, summary, risk: 'none' }
}
