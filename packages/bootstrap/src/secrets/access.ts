/** Checks the talosconfig and the kubeconfig. */
import { X509Certificate } from 'node:crypto'
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import { certificateIn } from '@talosmith/clients/talos'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parse, stringify } from 'yaml'
import type { PublicSecrets } from './secrets.ts'

/** What is wrong with an access file; undefined: nothing. */
export type AccessProblem =
  'missing' | 'unreadable' | 'expiring' | 'of another CA' | 'of another endpoint' | 'refused'

const renewBeforeMs = 30 * 24 * 3600 * 1000

interface TalosContext {
  endpoints: string[]
  nodes?: string[]
  readonly ca: string
  readonly crt: string
}

/** Checks the kubeconfig: it exists, has our CA and endpoint, and is valid for another 30 days. */
export async function checkKubeconfig(
  cluster: Cluster,
  { kubernetesCa }: PublicSecrets,
  now = Date.now(),
): Promise<AccessProblem | undefined> {
  return check(await generatedFiles(cluster).read('kubeconfig'), (text) => {
    const { server, ca, certificate } = parseKubeconfig(text)
    if (ca.trim() !== kubernetesCa.trim()) return 'of another CA'
    if (server !== cluster.endpoint) return 'of another endpoint'
    return expires(certificate, now) ? 'expiring' : undefined
  })
}

/** Checks the talosconfig the same way. */
export async function checkTalosconfig(
  cluster: Cluster,
  { talosCa }: PublicSecrets,
  now = Date.now(),
): Promise<AccessProblem | undefined> {
  return check(await generatedFiles(cluster).read('talosconfig'), (text) => {
    const { context } = readTalosconfig(text)
    if (certificateIn(context.ca)?.trim() !== talosCa.trim()) return 'of another CA'
    if (context.endpoints.join() !== endpointsOf(cluster).join()) return 'of another endpoint'
    return expires(certificateIn(context.crt) ?? '', now) ? 'expiring' : undefined
  })
}

/**
 * A generated talosconfig with the cluster's control planes as endpoints. Its default node is the
 * first of them alone: with several, one careless `talosctl reboot` would take the cluster down.
 */
export function completeTalosconfig(cluster: Cluster, text: string): string {
  const { whole, context } = readTalosconfig(text)
  context.endpoints = endpointsOf(cluster)
  context.nodes = endpointsOf(cluster).slice(0, 1)
  return stringify(whole)
}

function endpointsOf({ controlPlanes }: Cluster): string[] {
  return controlPlanes.map(({ address }) => address)
}

/** Reads a talosconfig and its current context. Throws for a text without one. */
export function readTalosconfig(text: string): { whole: object; context: TalosContext } {
  const whole = parse(text) as { context: string; contexts: Record<string, TalosContext> }
  const context = whole.contexts[whole.context]
  if (context === undefined) throw new Error('a talosconfig without a context')
  return { whole, context }
}

function check(
  text: string | undefined,
  look: (text: string) => AccessProblem | undefined,
): AccessProblem | undefined {
  if (text === undefined) return 'missing'
  try {
    return look(text)
  } catch {
    return 'unreadable'
  }
}

function expires(pem: string, now: number): boolean {
  return new Date(new X509Certificate(pem).validTo).getTime() - now < renewBeforeMs
}
