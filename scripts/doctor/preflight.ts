/** Runs the checks of cluster:doctor: observes this machine, the hosts, the Image Factory and the NFS server. */
import { checkOffer, observeFactory, quickRequest } from '@talosmith/clients/factory'
import {
  clusterOn,
  codes,
  findTool,
  generatedFiles,
  hostProxy,
  isIpv4,
  parseLabelledLines,
  Problem,
  silentLog,
  withoutCredentials,
  type Cluster,
  type Host,
  type Tool,
} from '@talosmith/core'
import { isRelayed, neededTools } from '@talosmith/image'
import {
  domainOf,
  findProblems,
  findWarnings,
  hostOf,
  isProven,
  observeDetails,
  observeHostEvidence,
  observeHost,
  tryMachine,
  withPlaces,
  type ObservedHost,
} from '@talosmith/vm'
import { attempt } from '../plan/attempt.ts'
import { failed, type Check } from './check.ts'
import type { CheckedHost } from './checked-host.ts'
import { judgeEndpoint, resolveEndpoint, type Resolved } from './endpoint.ts'
import { judgeHost } from './judge.ts'
import { judgeOthers, observeOthers, wasStarted } from './other-clusters.ts'
import { observeHere, type Here } from './route-here.ts'
import { observeReach } from './reach.ts'
import { judgeSpread } from './judge-spread.ts'

const thisMachine = 'this machine'
/** The same as `engines` in package.json. */
export const nodeMinimum = [20, 11] as const

interface Context {
  readonly cluster: Cluster
  readonly eachHost: () => readonly Promise<Host>[]
  readonly signal: AbortSignal
}

/**
 * Checks everything that cluster:up needs, in parallel, and leaves nothing behind. `quick` skips what a finished
 * cluster does not need (factory, storage), and the test machine.
 */
export async function runChecks(
  { cluster, eachHost, signal }: Context,
  { quick = false } = {},
): Promise<Check[]> {
  const [operator, others, endpoint, factory, hosts] = await Promise.all([
    checkOperator(cluster, quick),
    Promise.all([observeOthers(cluster), wasStarted(cluster)]),
    Promise.all([resolveEndpoint(cluster), generatedFiles(cluster).has('kubeconfig')]),
    quick ? [] : checkFactory(cluster, signal),
    checkHosts(cluster, eachHost(), quick),
  ])
  const [resolved, exists] = endpoint
  return [
    ...operator,
    ...judgeOthers(cluster, others[0], { isStarted: others[1] }),
    ...judgeEndpoint(cluster, resolved, { area: thisMachine, exists }),
    ...factory,
    ...hosts,
  ]
}

async function checkOperator(cluster: Cluster, quick: boolean): Promise<Check[]> {
  const { settings } = cluster
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isSupported =
    major > nodeMinimum[0] || (major === nodeMinimum[0] && minor >= nodeMinimum[1])
  const node: Check = {
    area: thisMachine,
    check: 'Node',
    verdict: isSupported ? 'ok' : 'fail',
    detail: process.version,
    ...(isSupported
      ? {}
      : { remedy: `install Node ${nodeMinimum.join('.')} or newer (mise install)` }),
  }
  const names = ['talosctl', 'kubectl', ...(settings.NFS_SERVER ? ['helm' as const] : [])] as const
  const tools = await Promise.all(
    names.map(async (name): Promise<Check[]> => {
      const { value, problem } = await attempt(() => findTool(name, cluster))
      if (value !== undefined)
        return [
          {
            area: thisMachine,
            check: name,
            verdict: 'ok',
            detail: `${value.version}, ${value.path}`,
          },
          ...(name === 'talosctl' ? await checkConfigs(cluster, value) : []),
        ]
      const failure = problem ?? new Problem('TOOL_MISSING', `${name} does not answer`)
      // Only cluster:regenerate-secrets calls kubectl, and checks for it itself.
      const isNeeded = name !== 'kubectl'
      return [
        { ...failed(thisMachine, name, failure), ...(isNeeded ? {} : { verdict: 'warning' }) },
      ]
    }),
  )
  // Not quick: cluster:restore and cluster:regenerate-secrets, which begin with that, resolve it.
  return [node, ...tools.flat(), ...(quick ? [] : await checkSecrets(cluster))]
}

/** Whether bootstrap:configure would refuse to create secrets. */
async function checkSecrets(cluster: Cluster): Promise<Check[]> {
  const { readSecretsUnlessLost } = await import('@talosmith/bootstrap')
  const { problem } = await attempt(() => readSecretsUnlessLost(cluster))
  // What else is wrong with them is reported with the settings.
  return problem?.code === codes.secretsLost ? [failed(thisMachine, 'secrets', problem)] : []
}

/** The settings, and the files that belong to them: secrets, patches. */
async function checkConfigs(cluster: Cluster, tool: Tool): Promise<Check[]> {
  const { settings, nodes } = cluster
  const { TALOS_VERSION, KUBERNETES_VERSION } = settings
  const summary = `${nodes.length} machines, Talos ${TALOS_VERSION}, Kubernetes ${KUBERNETES_VERSION}`
  const check = 'settings'
  // Loaded while the hosts are queried: every cluster:up waits for this stage.
  const [{ checkGeneratedFiles }, { openTalosctl }] = await Promise.all([
    import('@talosmith/bootstrap'),
    import('@talosmith/clients/talos'),
  ])
  const talosctl = await openTalosctl(cluster, undefined, tool)
  const { value, problem, reason } = await attempt(() => checkGeneratedFiles(cluster, talosctl))
  if (problem !== undefined) return [failed(thisMachine, check, problem)]
  if (value === undefined)
    return [{ area: thisMachine, check, verdict: 'fail', detail: reason ?? '' }]
  return [
    { area: thisMachine, check, verdict: 'ok', detail: summary },
    ...value.map((detail): Check => ({ area: thisMachine, check, verdict: 'warning', detail })),
  ]
}

async function checkFactory(cluster: Cluster, signal: AbortSignal): Promise<Check[]> {
  const { TALOS_FACTORY_URL: url, TALOS_VERSION: version, IMAGE_PATH: own } = cluster.settings
  const [area, check] = ['Image Factory', 'version and extensions']
  if (own !== undefined)
    return [{ area, check, verdict: 'ok', detail: 'not needed: IMAGE_PATH is set' }]
  const { problem, reason } = await attempt(async () =>
    checkOffer(cluster, await observeFactory(cluster, { log: silentLog, signal, ...quickRequest })),
  )
  if (problem !== undefined) return [failed(area, check, problem)]
  if (reason !== undefined) return [{ area, check, verdict: 'fail', detail: reason }]
  const extensions = cluster.settings.TALOS_EXTENSIONS.length
  return [
    {
      area,
      check,
      verdict: 'ok',
      detail: `${url} offers ${version} with ${extensions} extensions`,
    },
  ]
}

async function checkHosts(
  described: Cluster,
  opening: readonly Promise<Host>[],
  quick: boolean,
): Promise<Check[]> {
  const opened = await Promise.all(opening.map((host) => attempt(() => host)))
  const [first] = described.nodes
  const observingHere = first && observeHere(first.address)
  const observations = await Promise.all(
    opened.map(({ value: host }, index) =>
      attempt(async () => (host === undefined ? undefined : observeHost(host, described, index))),
    ),
  )
  const observed = observations.flatMap(({ value }) => value ?? [])
  const here = await observingHere
  // The other hosts are checked for the machines that they would get, also without one that cannot be observed.
  const cluster = observed.length < opened.length ? described : withPlaces(described, observed)
  const checks = await Promise.all(
    opened.map(async (host, index): Promise<Check[]> => {
      const area = cluster.settings.LIBVIRT_URI[index] ?? ''
      const problem = host.problem ?? observations[index]?.problem
      if (problem !== undefined) return [failed(area, 'access', problem)]
      const own = observations[index]?.value
      if (host.value === undefined || own === undefined)
        return [
          { area, check: 'access', verdict: 'fail', detail: observations[index]?.reason ?? '' },
        ]
      const checked = await attempt(() =>
        observeClosely(cluster, host.value, own, { all: observed, here, quick }),
      )
      if (checked.value !== undefined) return judgeHost(clusterOn(cluster, index), checked.value)
      const detail = checked.problem?.message ?? checked.reason ?? ''
      return [{ area, check: 'access', verdict: 'fail', detail }]
    }),
  )
  // Known since the machines were created: not again at each cluster:up.
  return [...checks.flat(), ...(quick ? [] : judgeSpread(cluster, observed))]
}

async function observeClosely(
  described: Cluster,
  host: Host,
  own: ObservedHost,
  {
    all,
    here,
    quick,
  }: {
    readonly all: readonly ObservedHost[]
    readonly here: Here | undefined
    readonly quick: boolean
  },
): Promise<CheckedHost> {
  const cluster = clusterOn(described, own.index)
  const nodes = cluster.nodes.filter((node) => hostOf(cluster, node, all) === own)
  // A domain of the same name that is not the cluster's is reported with the problems.
  const free = nodes.filter((node) => domainOf(node, own)?.owner === undefined)
  const { NETWORK_BRIDGE: bridge, IMAGE_PATH } = cluster.settings
  const hasImage = own.hasImage || IMAGE_PATH !== undefined
  const programs = hasImage ? [] : neededTools(cluster.settings, host)
  const [details, trial, evidence, outside] = await Promise.all([
    observeDetails(host, { programs, bridge }),
    own.poolProblem !== undefined || quick ? undefined : tryMachine(host, cluster, own),
    // Probing for used addresses takes seconds: not needed when every machine exists.
    quick && free.length === 0 ? undefined : observeHostEvidence(host, cluster, free, new Map()),
    quick ? undefined : observeOutside(host, cluster),
  ])
  const reach =
    here === undefined || nodes.length === 0
      ? undefined
      : await observeReach(cluster, host, { own, details, nodes, here })
  // Machines on other hosts prove the addresses too.
  const wasBootstrapped = isProven(cluster, all)
  const observed = { ...own, identity: { ...own.identity, wasBootstrapped } }
  return {
    observed,
    details,
    trial,
    evidence,
    reach,
    problems: findProblems({ ...cluster, nodes }, [observed]).filter(
      // cluster:restore and cluster:regenerate-secrets give machines new disks; vm:create refuses.
      ({ code }) => !quick || code !== codes.diskLost,
    ),
    warnings: findWarnings({ ...cluster, nodes }, [observed]),
    outside,
  }
}

/** What the host itself can reach. */
async function observeOutside(
  host: Host,
  { settings, endpoint }: Cluster,
): Promise<CheckedHost['outside']> {
  const { TALOS_FACTORY_URL: url, NFS_SERVER: nfs = '', IMAGE_PATH } = settings
  const needsFactory = IMAGE_PATH === undefined && !isRelayed(settings, host)
  const { hostname } = new URL(endpoint)
  const names = isIpv4(hostname) ? [] : [hostname]
  const { stdout } = await host.$({
    nothrow: true,
    timeoutMs: 20_000,
    env: hostProxy(settings, host),
  })`
for url in ${needsFactory ? [`${url}/versions`] : []}; do
  if output=$(curl -sS -o /dev/null -m 8 -w '%{http_code}' "$url" 2>&1); then echo "factory-status $output"; else echo "factory-error \${output%000}"; fi
done
for name in ${names}; do
  timeout 5 getent ahostsv4 "$name" | sed 's/^/endpoint-address /' || :
done
server=${nfs}
if [ -n "$server" ] && timeout 3 bash -c "exec 3<>/dev/tcp/$server/2049" 2>/dev/null; then echo nfs; fi`
  const report = parseLabelledLines(stdout)
  const status = report.first('factory-status')
  return {
    factory: !needsFactory
      ? undefined
      : status === undefined
        ? { reason: withoutCredentials(report.first('factory-error') ?? 'curl did not run') }
        : { status: Number(status) },
    nfs: nfs === '' ? undefined : report.has('nfs'),
    endpoint: names.length === 0 ? undefined : resolvedOnHost(report.all('endpoint-address')),
  }
}

/** The lines of `getent ahostsv4`: an address, the type of a socket and sometimes the canonical name. */
function resolvedOnHost(lines: readonly string[]): Resolved {
  const addresses = [...new Set(lines.map((line) => line.split(/\s+/)[0] ?? ''))].sort()
  return addresses.length === 0 ? { reason: 'no address (getent ahostsv4)' } : { addresses }
}
