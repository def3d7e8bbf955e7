/** The certificates of simulated machines, by the CA that their configs name. */
import { createCa, renderKubeconfig, type Ca, type Pair } from '@talosmith/clients/testing'
import { parse, parseAllDocuments } from 'yaml'

interface Encoded {
  readonly crt: string
  readonly key?: string
}

/** What a machine config tells of its cluster. */
export interface ConfigFacts {
  /** The CA of the Talos API, as PEM. */
  readonly talosCa: string
  readonly kubernetesCa: string
  /** The Kubernetes version of its kubelet. */
  readonly kubernetes: string
}

const cas = new Map<string, Ca>()
const pairs = new Map<string, Pair>()
const configs = new Map<string, ConfigFacts>()

/** A worker's config has no key: the CAs are known from the secrets of the cluster. */
export function knowSecrets(text: string): void {
  const { certs } = parse(text) as { certs: Record<'os' | 'k8s', Encoded> }
  for (const [name, subject] of [
    ['os', '/O=talos'],
    ['k8s', '/O=kubernetes'],
  ] as const) {
    const { crt, key = '' } = certs[name]
    // Talos writes `BEGIN ED25519 PRIVATE KEY` where other programs write PRIVATE KEY.
    const pem = { cert: decode(crt), key: decode(key).replaceAll('ED25519 PRIVATE', 'PRIVATE') }
    if (!cas.has(pem.cert)) cas.set(pem.cert, createCa(subject, pem))
  }
}

/** The CA of this certificate. */
export function caOf(cert: string): Ca {
  const ca = cas.get(cert)
  if (ca === undefined) throw new Error('a config of a CA that was never made')
  return ca
}

/** A certificate of a CA, the same one every time. */
export function certificateOf(ca: Ca, subject: string, address: string): Pair {
  const key = [ca.cert, subject, address].join()
  const pair = pairs.get(key) ?? ca.issue(subject, 365, address)
  pairs.set(key, pair)
  return pair
}

/** The admin kubeconfig that Talos issues. */
export function kubeconfigOf(server: string, kubernetesCa: string): string {
  const admin = certificateOf(caOf(kubernetesCa), '/O=system:masters/CN=admin', '127.0.0.1')
  return renderKubeconfig(server, kubernetesCa, admin)
}

/** Reads a machine config. */
export function readConfig(text: string): ConfigFacts {
  const known = configs.get(text)
  if (known !== undefined) return known
  const [first] = parseAllDocuments(text)
  const { machine, cluster } = (first?.toJS() ?? {}) as {
    machine: { ca: Encoded; kubelet: { image: string } }
    cluster: { ca: Encoded }
  }
  const facts = {
    talosCa: decode(machine.ca.crt),
    kubernetesCa: decode(cluster.ca.crt),
    kubernetes: machine.kubelet.image.split(':').at(-1) ?? '',
  }
  configs.set(text, facts)
  return facts
}

/** The CA of the Talos API in a talosconfig. */
export function talosCaOf(talosconfig: string): string {
  const { context, contexts } = parse(talosconfig) as {
    context: string
    contexts: Record<string, { ca: string }>
  }
  return decode(contexts[context]?.ca ?? '')
}

/** Text as it is in configs and access files. */
export function encode(pem: string): string {
  return Buffer.from(pem).toString('base64')
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString()
}
