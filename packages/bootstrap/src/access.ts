import { X509Certificate } from 'node:crypto'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'
import type { PublicSecrets } from './secrets.ts'

/** What is wrong with an access file; undefined: nothing. */
export type AccessFault = 'missing' | 'expiring' | 'of another CA' | 'of another endpoint'

const renewBeforeMs = 30 * 24 * 3600 * 1000

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string }
  }[]
  readonly users: readonly { readonly user: { readonly 'client-certificate-data': string } }[]
}

interface Talosconfig {
  readonly context: string
  readonly contexts: Readonly<Record<string, { readonly ca: string; readonly crt: string }>>
}

/** Looks at the kubeconfig: there, of our CA and endpoint, valid for another 30 days? */
export async function checkKubeconfig(
  cluster: Cluster,
  { kubernetesCa }: PublicSecrets,
  now = Date.now(),
): Promise<AccessFault | undefined> {
  const text = await generatedFiles(cluster).read('kubeconfig')
  if (text === undefined) return 'missing'
  const { clusters, users } = parse(text) as Kubeconfig
  const target = clusters[0]?.cluster
  if (
    target === undefined ||
    decode(target['certificate-authority-data']).trim() !== kubernetesCa.trim()
  )
    return 'of another CA'
  if (target.server !== cluster.endpoint) return 'of another endpoint'
  return expires(decode(users[0]?.user['client-certificate-data'] ?? ''), now)
    ? 'expiring'
    : undefined
}

/** Looks at the talosconfig the same way. */
export async function checkTalosconfig(
  cluster: Cluster,
  { talosCa }: PublicSecrets,
  now = Date.now(),
): Promise<AccessFault | undefined> {
  const text = await generatedFiles(cluster).read('talosconfig')
  if (text === undefined) return 'missing'
  const { context, contexts } = parse(text) as Talosconfig
  const current = contexts[context]
  if (current === undefined || decode(current.ca).trim() !== talosCa.trim()) return 'of another CA'
  return expires(decode(current.crt), now) ? 'expiring' : undefined
}

function expires(pem: string, now: number): boolean {
  return pem === '' || new Date(new X509Certificate(pem).validTo).getTime() - now < renewBeforeMs
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString()
}
