/** HTTPS to an API server: one agent, time limits, failures as data. */
import { Agent, request } from 'node:https'
import { ApiNotReady, ApiRefusal, ApiUnreachable, NotOurApi } from './errors.ts'
import type { KubeAccess } from './kubeconfig.ts'

/** One request to the API. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly body?: object
  /** Of the body; application/json unless given. */
  readonly contentType?: string
}

export interface AskOptions {
  /** Another address than the endpoint: 'https://10.0.0.71:6443'. */
  readonly server?: string
  readonly timeoutMs?: number
}

/** Sends one request; the body of the answer. Throws ApiRefusal, NotOurApi or ApiUnreachable. */
export type Ask = (request: ApiRequest, options?: AskOptions) => Promise<string>

// An API server that starts on a busy machine takes its time for a handshake alone.
const requestMs = 15_000

/** What sends requests with the certificate of a kubeconfig. */
export function openTransport(access: KubeAccess): Ask {
  // A handshake costs the server more than an answer: connections are used again.
  const agent = new Agent({ keepAlive: true })
  const send = (
    { method, path, body, contentType = 'application/json' }: ApiRequest,
    { server = access.server, timeoutMs = requestMs }: AskOptions = {},
  ): Promise<string> =>
    new Promise((resolve, reject) => {
      const text = body && JSON.stringify(body)
      const sent = request(new URL(path, server), {
        method,
        ca: access.ca,
        cert: access.certificate,
        key: access.key,
        agent,
        headers: {
          accept: 'application/json',
          // Node frames the body of a DELETE only when it is given the length.
          ...(text && {
            'content-type': contentType,
            'content-length': Buffer.byteLength(text),
          }),
        },
        signal: AbortSignal.timeout(timeoutMs),
      })
      sent.once('error', (error: NodeJS.ErrnoException) => {
        // The server may close a connection that was kept in the moment in which it is used again.
        if (error.code === 'ECONNRESET' && sent.reusedSocket && method !== 'POST')
          send({ method, path, contentType, ...(body && { body }) }, { server, timeoutMs }).then(
            resolve,
            reject,
          )
        else reject(connectionError(error, timeoutMs))
      })
      sent.once('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', (error) => reject(connectionError(error, timeoutMs)))
        response.once('end', () => {
          const answer = Buffer.concat(chunks).toString()
          const status = response.statusCode ?? 0
          if (status >= 200 && status < 300) resolve(answer)
          else reject(refusal(status, answer))
        })
      })
      sent.end(text)
    })
  return send
}

function connectionError(error: NodeJS.ErrnoException, timeoutMs: number): Error {
  const code = error.code ?? error.name
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return new ApiUnreachable('timeout', `no answer within ${timeoutMs / 1000} s`)
  if (/^(?:UNABLE_TO|CERT_SIGNATURE|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT_ALTNAME)/.test(code))
    return new NotOurApi(`it shows a certificate that is not this cluster's (${code})`)
  if (code === 'ECONNREFUSED') return new ApiUnreachable(code, 'connection refused')
  if (code === 'ECONNRESET') return new ApiUnreachable(code, 'connection reset')
  return new ApiUnreachable(code, code)
}

function refusal(status: number, body: string): Error {
  const failed = [...body.matchAll(/^\[-\](\S+) failed/gm)].map(([, name]) => name ?? '')
  if (failed.length > 0) return new ApiNotReady(status, failed)
  const { message, reason } = statusObject(body)
  if (status === 401) return new NotOurApi(`HTTP 401: ${message}`, status)
  return new ApiRefusal(status, message, reason)
}

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/, or plain text. */
function statusObject(body: string): { readonly message: string; readonly reason?: string } {
  const text = body.trim().slice(0, 200)
  try {
    const { message = text, reason } = JSON.parse(body) as { message?: string; reason?: string }
    return { message, ...(reason === undefined ? {} : { reason }) }
  } catch {
    return { message: text }
  }
}
