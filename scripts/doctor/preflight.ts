import { checkOffer, observeFactory, quickRequest } from '@talosmith/clients/factory'
import {
  findTool,
  parseLabelledLines,
  Problem,
  silentLog,
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
  observeDetails,
  observeEvidence,
  observeHost,
  tryMachine,
  type ObservedHost,
} from '@talosmith/vm'
import { attempt } from '../plan/attempt.ts'
import { missing, type Check } from './check.ts'
import { judgeHost, type SeenHost } from './judge.ts'

const here = 'this machine'
/** As package.json says (engines). */
export const nodeMinimum = [20, 11] as const

interface Context {
  readonly cluster: Cluster
  readonly eachHost: () => readonly Promise<Host>[]
  readonly signal: AbortSignal
}

/**
 * Looks at everything that cluster:up will need, all of it side by side; changes nothing that stays. `quick`
 * leaves out what a finished cluster does not need (factory, storage), and makes no throwaway machine.
 */
export async function runChecks(
  { cluster, eachHost, signal }: Context,
  { quick = false } = {},
): Promise<Check[]> {
  const [operator, factory, hosts] = await Promise.all([
    checkOperator(cluster),
    quick ? [] : checkFactory(cluster, signal),
    checkHosts(cluster, eachHost(), quick),
  ])
  return [...operator, ...factory, ...hosts]
}

async function checkOperator(cluster: Cluster): Promise<Check[]> {
  const { settings } = cluster
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isNew = major > nodeMinimum[0] || (major === nodeMinimum[0] && minor >= nodeMinimum[1])
  const node: Check = {
    area: here,
    check: 'Node',
    verdict: isNew ? 'ok' : 'missing',
    says: process.version,
    ...(isNew ? {} : { remedy: `get Node ${nodeMinimum.join('.')} or newer (mise install)` }),
  }
  const names = ['talosctl', 'kubectl', ...(settings.NFS_SERVER ? ['helm' as const] : [])] as const
  const tools = await Promise.all(
    names.map(async (name): Promise<Check[]> => {
      const { value, problem } = await attempt(() => findTool(name, cluster))
      if (value !== undefined)
        return [
          { area: here, check: name, verdict: 'ok', says: `${value.version}, ${value.path}` },
          ...(name === 'talosctl' ? await checkConfigs(cluster, value) : []),
        ]
      const fault = problem ?? new Problem('TOOL_MISSING', `${name} does not answer`)
      // Without storage nothing of ours calls kubectl; only its user misses it.
      const isNeeded = name === 'talosctl' || Boolean(settings.NFS_SERVER)
      return [{ ...missing(here, name, fault), ...(isNeeded ? {} : { verdict: 'warning' }) }]
    }),
  )
  return [node, ...tools.flat()]
}

/** The settings, and what of ours lies beside them: secrets, patches. */
async function checkConfigs(cluster: Cluster, tool: Tool): Promise<Check[]> {
  const { settings, nodes } = cluster
  const { TALOS_VERSION, KUBERNETES_VERSION } = settings
  const asked = `${nodes.length} machines, Talos ${TALOS_VERSION}, Kubernetes ${KUBERNETES_VERSION}`
  const check = 'settings'
  // Read while the hosts are asked: every cluster:up waits for this stage.
  const [{ checkGeneratedFiles }, { openTalosctl }] = await Promise.all([
    import('@talosmith/bootstrap'),
    import('@talosmith/clients/talos'),
  ])
  const talosctl = await openTalosctl(cluster, undefined, tool)
  const { value, problem, reason } = await attempt(() => checkGeneratedFiles(cluster, talosctl))
  if (problem !== undefined) return [missing(here, check, problem)]
  if (value === undefined) return [{ area: here, check, verdict: 'missing', says: reason ?? '' }]
  return [
    { area: here, check, verdict: 'ok', says: asked },
    ...value.map((says): Check => ({ area: here, check, verdict: 'warning', says })),
  ]
}

async function checkFactory(cluster: Cluster, signal: AbortSignal): Promise<Check[]> {
  const { TALOS_FACTORY_URL: url, TALOS_VERSION: version, IMAGE_PATH: own } = cluster.settings
  const [area, check] = ['Image Factory', 'version and extensions']
  if (own !== undefined)
    return [{ area, check, verdict: 'ok', says: 'not asked: IMAGE_PATH names an image' }]
  const { problem, reason } = await attempt(async () =>
    checkOffer(cluster, await observeFactory(cluster, { log: silentLog, signal, ...quickRequest })),
  )
  if (problem !== undefined) return [missing(area, check, problem)]
  if (reason !== undefined) return [{ area, check, verdict: 'missing', says: reason }]
  const extensions = cluster.settings.TALOS_EXTENSIONS.length
  return [
    { area, check, verdict: 'ok', says: `${url} offers ${version} with ${extensions} extensions` },
  ]
}

async function checkHosts(
  cluster: Cluster,
  opening: readonly Promise<Host>[],
  quick: boolean,
): Promise<Check[]> {
  const opened = await Promise.all(opening.map((host) => attempt(() => host)))
  const looks = await Promise.all(
    opened.map(({ value: host }, index) =>
      attempt(async () => (host === undefined ? undefined : observeHost(host, cluster, index))),
    ),
  )
  const seen = looks.flatMap(({ value }) => value ?? [])
  const checks = await Promise.all(
    opened.map(async (host, index): Promise<Check[]> => {
      const area = cluster.settings.LIBVIRT_URI[index] ?? ''
      const failed = host.problem ?? looks[index]?.problem
      if (failed !== undefined) return [missing(area, 'access', failed)]
      const own = looks[index]?.value
      if (host.value === undefined || own === undefined)
        return [{ area, check: 'access', verdict: 'missing', says: looks[index]?.reason ?? '' }]
      const looked = await attempt(() => lookCloser(cluster, host.value, own, seen, quick))
      if (looked.value !== undefined) return judgeHost(cluster, looked.value)
      const says = looked.problem?.message ?? looked.reason ?? ''
      return [{ area, check: 'access', verdict: 'missing', says }]
    }),
  )
  return checks.flat()
}

async function lookCloser(
  cluster: Cluster,
  host: Host,
  own: ObservedHost,
  all: readonly ObservedHost[],
  quick: boolean,
): Promise<SeenHost> {
  const nodes = cluster.nodes.filter((node) => hostOf(cluster, node, all) === own)
  // One that is not ours is in the way; that is said with the machine itself.
  const free = nodes.filter((node) => domainOf(node, own)?.owner === undefined)
  const { NETWORK_BRIDGE: bridge, IMAGE_PATH } = cluster.settings
  const hasImage = own.hasImage || IMAGE_PATH !== undefined
  const programs = hasImage ? [] : neededTools(cluster.settings, host)
  const [details, trial, evidence, outside] = await Promise.all([
    observeDetails(host, { programs, bridge }),
    own.poolFault !== undefined || quick ? undefined : tryMachine(host, cluster, own),
    // Asking who has an address takes seconds; with every machine in place there is nothing to ask.
    quick && free.length === 0 ? undefined : observeEvidence(host, cluster, free, new Map()),
    quick ? undefined : lookOut(host, cluster),
  ])
  return {
    seen: own,
    details,
    trial,
    evidence,
    problems: findProblems({ ...cluster, nodes }, [own]),
    warnings: findWarnings({ ...cluster, nodes }, [own]),
    outside,
  }
}

/** What the host itself reaches. */
async function lookOut(host: Host, { settings }: Cluster): Promise<SeenHost['outside']> {
  const { TALOS_FACTORY_URL: url, NFS_SERVER: nfs = '', IMAGE_PATH } = settings
  const asksFactory = IMAGE_PATH === undefined && !isRelayed(settings, host)
  const { stdout } = await host.$({ nothrow: true, timeoutMs: 12_000 })`
for url in ${asksFactory ? [`${url}/versions`] : []}; do
  if said=$(curl -sS -o /dev/null -m 8 -w '%{http_code}' "$url" 2>&1); then echo "factory-status $said"; else echo "factory-fault \${said%000}"; fi
done
server=${nfs}
if [ -n "$server" ] && timeout 3 bash -c "exec 3<>/dev/tcp/$server/2049" 2>/dev/null; then echo nfs; fi`
  const report = parseLabelledLines(stdout)
  const status = report.first('factory-status')
  return {
    factory: !asksFactory
      ? undefined
      : status === undefined
        ? { fault: report.first('factory-fault') ?? 'curl did not run' }
        : { status: Number(status) },
    nfs: nfs === '' ? undefined : report.has('nfs'),
  }
}
