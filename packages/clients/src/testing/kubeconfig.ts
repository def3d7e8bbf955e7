/** Renders kubeconfigs for tests. */
import { stringify } from 'yaml'
import type { Pair } from './pki.ts'

/** The kubeconfig of a cluster, in the form that Talos writes. */
export function renderKubeconfig(server: string, authority: string, { cert, key }: Pair): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const cluster = { server, 'certificate-authority-data': base64(authority) }
  const user = { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) }
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'home', cluster }],
    users: [{ name: 'admin@home', user }],
    contexts: [{ name: 'admin@home', context: { cluster: 'home', user: 'admin@home' } }],
    'current-context': 'admin@home',
  })
}
