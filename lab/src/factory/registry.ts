/** The registry that the lab's factory pushes installers to, and redirects to. */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

const indexType = 'application/vnd.oci.image.index.v1+json'

/** An installer's index, as it is pushed; `digest` is its name in the registry. */
export interface InstallerIndex {
  readonly text: string
  readonly digest: string
}

/** The index of an installer: without images, which the lab's guests do not pull. */
export function installerIndex(schematic: string, version: string): InstallerIndex {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: [],
    annotations: { 'org.opencontainers.image.version': version, schematic },
  })
  return { text, digest: `sha256:${createHash('sha256').update(text).digest('hex')}` }
}

/** Where the registry has an index (image-factory internal/frontend/http/registry.go, craftRedirectURL). */
export function registryUrl(
  { headers: { host = '' } }: IncomingMessage,
  image: string,
  schematic: string,
  digest: string,
): string {
  return `http://${host}/v2/registry/${image}/${schematic}/manifests/${digest}`
}

/**
 * Sends an index to a client that accepts its type, and 404 to any other, as the distribution registry does
 * (distribution/distribution registry/handlers/manifests.go, GetManifest).
 */
export function sendIndex(
  { headers: { accept = '' } }: IncomingMessage,
  response: ServerResponse,
  index: InstallerIndex | undefined,
): void {
  if (index !== undefined && accept.split(/[,;]\s*/).includes(indexType))
    return void response
      .writeHead(200, { 'content-type': indexType, 'docker-content-digest': index.digest })
      .end(index.text)
  const message =
    index === undefined
      ? 'manifest unknown'
      : 'OCI index found, but accept header does not support OCI indexes'
  response
    .writeHead(404, { 'content-type': 'application/json' })
    .end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message }] }))
}
