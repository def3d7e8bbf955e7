/** The HTTP server of the lab's Image Factory. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { basename, join } from 'node:path'
import { Refused, type Assets } from './assets.ts'
import { brokenVersion, extensions, offeredVersion, talosVersions } from './catalogue.ts'
import { nextFault, orderFaults, sendFaulty, type Fault } from './faults.ts'
import { installerIndex, registryUrl, sendIndex } from './registry.ts'
import { InvalidSchematic } from './schematic.ts'

/** The content that the server serves. */
export interface FactoryOptions {
  readonly assets: Assets
  /** The images' programs: component, then tag, to the program's path. */
  readonly binaries: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** The talosctl offered for download. */
  readonly talosctl: { readonly path: string; readonly version: string }
  readonly chartFolder: string
  readonly faultsFile: string
}

type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  parts: readonly string[],
  fault: Fault | undefined,
) => Promise<void> | void

/** An Image Factory: routes, status codes and texts of siderolabs/image-factory, as far as clients rely on them. */
export function createFactory(options: FactoryOptions): Server {
  const routes: readonly (readonly [string, RegExp, Answer])[] = [
    ['GET', /^\/(?:healthz|readyz)$/, (_, response) => void response.writeHead(200).end()],
    [
      'POST',
      /^\/schematics$/,
      async (request, response) => {
        const { id, canonical } = options.assets.addSchematic(await bodyOf(request))
        json(response, 201, { id, schematic: canonical })
      },
    ],
    [
      'GET',
      /^\/schematics\/([^/]+)$/,
      (_, response, [id = '']) => {
        try {
          const { canonical } = options.assets.schematic(id)
          response.writeHead(200, { 'content-type': 'application/yaml' }).end(canonical)
        } catch {
          throw new Refused(404, 'schematic not found')
        }
      },
    ],
    [
      'GET',
      /^\/versions$/,
      (request, response) => {
        const all =
          request.url?.includes('broken=true') === true ||
          existsSync(`${options.faultsFile}.offer-broken`)
        json(response, 200, all ? [...talosVersions, brokenVersion] : talosVersions)
      },
    ],
    [
      'GET',
      /^\/version\/([^/]+)\/extensions\/official$/,
      (_, response, [version = '']) => {
        if (offeredVersion(version) === undefined)
          throw new Refused(404, `version ${version} is not available`)
        json(
          response,
          200,
          extensions.map(({ name, version: number, description }) => ({
            name,
            ref: `ghcr.io/${name}:${number}`,
            digest: `sha256:${createHash('sha256').update(`${name}:${number}`).digest('hex')}`,
            author: 'the lab',
            description,
          })),
        )
      },
    ],
    [
      'GET',
      /^\/image\/[^/]+\/[^/]+\/[^/]+\.(?:sha256|sha512|sigstore\.json)$/,
      () => {
        throw new Refused(402, 'enterprise not enabled: checksum endpoint is not available')
      },
    ],
    [
      // image-factory internal/frontend/http/image.go, handleImage: HEAD is answered, GET is sent to the cache. It
      // has no ranges of its own; the cache, S3 or a CDN, has.
      'GET',
      /^\/image\/([^/]+)\/([^/]+)\/([^/]+)$/,
      async (request, response, [id = '', version = '', file = '']) => {
        const path = await options.assets.image(id, version, file)
        if (request.method === 'HEAD') describeFile(response, path).writeHead(200).end()
        else response.writeHead(302, { location: `${cachePrefix}${request.url ?? ''}` }).end()
      },
    ],
    [
      'GET',
      new RegExp(`^${cachePrefix}/image/([^/]+)/([^/]+)/([^/]+)$`),
      async (request, response, [id = '', version = '', file = ''], fault) =>
        sendFile(request, response, await options.assets.image(id, version, file), fault),
    ],
    ['GET', /^\/v2\/?$/, (_, response) => json(response, 200, {})],
    [
      'GET',
      /^\/v2\/((?:nocloud-)?installer)\/([^/]+)\/manifests\/([^/]+)$/,
      (request, response, [image = '', id = '', tag = '']) => {
        const schematic = options.assets.schematic(id)
        const version = options.assets.checkVersion(schematic, tag)
        const { digest } = installerIndex(id, version)
        response.writeHead(307, { location: registryUrl(request, image, id, digest) }).end()
      },
    ],
    [
      'GET',
      /^\/v2\/registry\/(?:nocloud-)?installer\/([^/]+)\/manifests\/([^/]+)$/,
      (request, response, [id = '', digest = '']) => {
        const index = talosVersions
          .concat(brokenVersion)
          .map((version) => installerIndex(id, version))
          .find((one) => one.digest === digest)
        sendIndex(request, response, index)
      },
    ],
    [
      'GET',
      /^\/talosctl\/([^/]+)$/,
      (_, response, [version = '']) => {
        if (offeredVersion(version) === undefined)
          throw new Refused(404, `version ${version} is not available`)
        json(response, 200, ['talosctl-linux-amd64'])
      },
    ],
    [
      'GET',
      /^\/talosctl\/([^/]+)\/talosctl-linux-amd64$/,
      (request, response, [version = ''], fault) => {
        if (offeredVersion(version) !== options.talosctl.version)
          throw new Refused(404, `version ${version} is not available`)
        if (!existsSync(options.talosctl.path)) throw new Refused(404, '404 page not found')
        return sendFile(request, response, options.talosctl.path, fault)
      },
    ],
    [
      'GET',
      /^\/lab\/binaries\/([^/]+)\/([^/]+)$/,
      (request, response, [component = '', version = ''], fault) => {
        const tags = new Map(Object.entries(options.binaries[component] ?? {}))
        const path = tags.get(version)
        if (path === undefined) throw new Refused(404, `${component}:${version}: not found`)
        response.setHeader('x-sha256', digestOf(path))
        return sendFile(request, response, path, fault)
      },
    ],
    [
      'POST',
      /^\/lab\/faults$/,
      async (request, response) => {
        orderFaults(options.faultsFile, await bodyOf(request))
        response.writeHead(204).end()
      },
    ],
    [
      'GET',
      /^\/charts\/([\w.-]+)$/,
      (request, response, [name = ''], fault) => {
        const path = join(options.chartFolder, basename(name))
        if (!existsSync(path)) throw new Refused(404, '404 page not found')
        return sendFile(request, response, path, fault)
      },
    ],
  ]
  return createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://factory').pathname
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '')
    response.setHeader('server', 'Image Factory (lab)')
    const id = request.headers['x-request-id']
    if (typeof id === 'string') response.setHeader('x-request-id', id)
    // A redirect to the cache carries no body to spoil.
    const isRedirect = path.startsWith('/image/') && request.method === 'GET'
    const fault =
      path === '/lab/faults'
        ? undefined
        : nextFault(
            options.faultsFile,
            path.startsWith(cachePrefix) ? path.slice(cachePrefix.length) : path,
            ({ kind }) => !isRedirect || kind === 'status',
          )
    const answer = async (): Promise<void> => {
      if (fault?.kind === 'status') throw new Refused(fault.status ?? 500, 'internal server error')
      for (const [verb, pattern, run] of routes) {
        const match = pattern.exec(path)
        if (match !== null && verb === method)
          return await run(request, response, match.slice(1).map(decodeURIComponent), fault)
      }
      throw new Refused(404, '404 page not found')
    }
    answer().catch((error: unknown) => {
      const status =
        error instanceof Refused ? error.status : error instanceof InvalidSchematic ? 400 : 500
      console.error(`${request.method} ${path}: ${status} ${String(error)}`)
      if (response.headersSent) return void response.destroy()
      const text =
        status === 500 && !(error instanceof Refused)
          ? 'internal server error'
          : (error as Error).message
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
    })
  })
}

/** Below it are the images that the factory has built, as in the cache that it redirects to. */
const cachePrefix = '/cache'

function json(response: ServerResponse, status: number, value: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(`${JSON.stringify(value)}\n`)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

const digests = new Map<string, string>()

function digestOf(path: string): string {
  const known = digests.get(path) ?? createHash('sha256').update(readFileSync(path)).digest('hex')
  digests.set(path, known)
  return known
}

/** Sets the headers of a file, as the factory does: without accept-ranges. */
function describeFile(response: ServerResponse, path: string): ServerResponse {
  const type = path.endsWith('.xz')
    ? 'application/x-xz'
    : path.endsWith('.gz')
      ? 'application/gzip'
      : 'application/octet-stream'
  return response
    .setHeader('content-length', statSync(path).size)
    .setHeader('content-type', type)
    .setHeader('content-disposition', `attachment; filename="${basename(path)}"`)
}

/** Sends a file, or the requested range of it. */
async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  fault: Fault | undefined,
): Promise<void> {
  const { size } = statSync(path)
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const start = Number(from ?? 0)
  describeFile(response, path).setHeader('accept-ranges', 'bytes')
  if (start > 0 && start >= size)
    return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end()
  response.setHeader('content-length', size - start)
  if (start > 0) response.writeHead(206, { 'content-range': `bytes ${start}-${size - 1}/${size}` })
  else response.writeHead(200)
  if (request.method === 'HEAD') return void response.end()
  const stream = createReadStream(path, { start, highWaterMark: 1 << 20 })
  if (fault !== undefined) return sendFaulty(response, stream as AsyncIterable<Buffer>, fault)
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject).pipe(response)
    response.on('close', () => (stream.destroy(), resolve()))
  })
}
