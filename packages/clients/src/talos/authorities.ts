/** The certificate authorities of Talos in secrets files and talosconfigs. */
import { parse } from 'yaml'

/** The PEM of a base64-encoded certificate; undefined: it is none. */
export function certificateIn(base64: string | undefined): string | undefined {
  const pem = Buffer.from(base64 ?? '', 'base64').toString()
  return pem.startsWith('-----BEGIN CERTIFICATE-----') ? pem : undefined
}

/**
 * The PEM of each CA of the Talos API in a secrets file (Bundle in Talos' config/generate/secrets) or in the contexts
 * of a talosconfig; none in other files. Throws for a text that is no YAML.
 */
export function talosAuthorities(text: string): string[] {
  const { certs, contexts } = (parse(text) ?? {}) as {
    certs?: { os?: { crt?: string } }
    contexts?: Record<string, { ca?: string }>
  }
  return [certs?.os?.crt, ...Object.values(contexts ?? {}).map(({ ca }) => ca)].flatMap(
    (encoded) => certificateIn(encoded)?.trim() ?? [],
  )
}
