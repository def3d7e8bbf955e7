import { Agent, request } from 'node:https'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parseKubeconfig } from './kubeconfig.ts'

/** A refusal that waiting cannot mend: another CA, another cluster, no rights. */
export class NotOurApi extends Error {
  override name = 'NotOurApi'
}

/** The API answered, and refused. */
export class ApiRefusal extends Error {
  override name = 'ApiRefusal'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Something to change, as the API takes it. */
export interface ApiRequest {
  readonly method: 'POST' | 'PATCH'
  readonly path: string
  readonly body: object
}

/** Reads from the cluster's API server, with the kubeconfig's certificate. */
export interface Kubernetes {
  /** The body of a GET; `server` asks another address than the endpoint. Throws with the reason. */
  get(path: string, options?: AskOptions): Promise<string>
}

interface AskOptions {
  readonly server?: string
  readonly timeoutMs?: number
}

/** Reads, and changes too. */
export interface WritableKubernetes extends Kubernetes {
  /** Sends a change, PATCH as a JSON merge patch; the answer's body. Throws ApiRefusal when it is refused. */
  send(request: ApiRequest, options?: AskOptions): Promise<string>
}

// An API server that starts on a busy machine takes its time for a handshake alone.
const requestMs = 15_000

/**
 * Opens the cluster's API with its kubeconfig. Plain HTTPS: a health check asks many small questions,
 * and a kubectl process for each would cost more than all of them together.
 */
export async function openKubernetes(cluster: Cluster): Promise<WritableKubernetes> {
  const text = await generatedFiles(cluster).read('kubeconfig')
  if (text === undefined) throw new Error('there is no kubeconfig')
  const access = parseKubeconfig(text)
  // A handshake costs the server more than an answer: connections are used again.
  const agent = new Agent({ keepAlive: true })
  const ask = (
    path: string,
    { server = access.server, timeoutMs = requestMs }: AskOptions = {},
    change?: ApiRequest,
  ): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request(new URL(path, server), {
        method: change?.method ?? 'GET',
        ca: access.ca,
        cert: access.certificate,
        key: access.key,
        agent,
        headers: { accept: 'application/json', ...(change && { 'content-type': typeOf(change) }) },
        signal: AbortSignal.timeout(timeoutMs),
      })
      asked.once('error', (error) => reject(connectionFault(error, timeoutMs)))
      asked.once('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', (error) => reject(connectionFault(error, timeoutMs)))
        response.once('end', () => {
          const body = Buffer.concat(chunks).toString()
          const status = response.statusCode ?? 0
          if (status >= 200 && status < 300) resolve(body)
          else reject(refusal(status, body))
        })
      })
      asked.end(change && JSON.stringify(change.body))
    })
  return {
    get: (path, options) => ask(path, options),
    send: (change, options) => ask(change.path, options, change),
  }
}

function typeOf({ method }: ApiRequest): string {
  return method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
}

function connectionFault(error: NodeJS.ErrnoException, timeoutMs: number): Error {
  const code = error.code ?? error.name
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return new Error(`no answer within ${timeoutMs / 1000} s`)
  if (/^(?:UNABLE_TO|CERT_SIGNATURE|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT_ALTNAME)/.test(code))
    return new NotOurApi(`it shows a certificate that is not this cluster's (${code})`)
  if (code === 'ECONNREFUSED') return new Error('connection refused')
  if (code === 'ECONNRESET') return new Error('connection reset')
  return new Error(code)
}

/** The words of a refusal: failed checks of /readyz by name, else the API's own message. */
function refusal(status: number, body: string): Error {
  const failed = [...body.matchAll(/^\[-\](\S+) failed/gm)].map(([, name]) => name)
  if (failed.length > 0) return new Error(`not ready: ${failed.join(', ')}`)
  const said = `HTTP ${status}: ${messageOf(body)}`
  return status === 401 ? new NotOurApi(said) : new ApiRefusal(status, said)
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: string }
    if (message !== undefined) return message
  } catch {
    // Plain text.
  }
  return body.trim().slice(0, 200)
}
