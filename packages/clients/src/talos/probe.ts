/** What a machine's Talos API shows without authentication, by one TLS handshake. */
import { X509Certificate } from 'node:crypto'
import { connect, type TLSSocket } from 'node:tls'
import { connectMs, longTimeouts } from './time-limits.ts'

/** What a machine's Talos API shows without authentication. */
export type ProbeResult =
  /** It waits for its config, and accepts any client. */
  | { readonly kind: 'maintenance' }
  /** Its certificate is signed by our CA. */
  | { readonly kind: 'ours' }
  /** It has a config, of another CA than ours. */
  | { readonly kind: 'foreign'; readonly reason: string }
  /** Nothing that could be a Talos API answers (yet). */
  | {
      readonly kind: 'silent'
      readonly reason: string
      /** What answers is not Talos: another machine has the address. */
      readonly isStranger?: true
      /** It closed the connection that it had accepted: nothing blocks its port. */
      readonly hasClosed?: true
    }

/** Talos' API port (constants.ApidPort). */
export const apiPort = 50_000

/** Why a machine's Talos API is not accessible; undefined: it is. */
export function unreachableBecause(result: ProbeResult): string | undefined {
  if (result.kind === 'ours') return undefined
  return result.kind === 'maintenance' ? 'it has no machine config' : result.reason
}

/**
 * Looks at a machine's Talos API with one TLS handshake, which costs a thousandth of a talosctl: a
 * machine that boots can be asked often. A server in maintenance mode speaks HTTP/2 first; one with
 * a config asks for a client certificate, and sends an alert after the handshake (TLS 1.3).
 */
export function probe(
  address: string,
  ourCa: string | undefined,
  { port = apiPort, timeoutMs = longTimeouts.probeMs } = {},
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({
      host: address,
      port,
      ALPNProtocols: ['h2'],
      // A machine in maintenance mode signs its own certificate; we look at it ourselves.
      rejectUnauthorized: false,
    })
    const end = (result: ProbeResult): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const giveUp = (): void =>
      end({ kind: 'silent', reason: `${address} does not answer; it may still be booting` })
    let timer = setTimeout(giveUp, Math.min(connectMs, timeoutMs))
    socket.once('connect', () => {
      clearTimeout(timer)
      timer = setTimeout(giveUp, timeoutMs)
    })
    socket.once('secureConnect', () => {
      if (ourCa !== undefined && isSignedBy(socket, ourCa)) end({ kind: 'ours' })
      // gRPC always settles on HTTP/2.
      else if (socket.alpnProtocol !== 'h2') end(stranger(address, 'TLS without HTTP/2'))
    })
    socket.once('data', () => end({ kind: 'maintenance' }))
    socket.once('close', () => end(closed(address)))
    socket.once('error', (error: NodeJS.ErrnoException) => end(judgeError(address, error)))
  })
}

function closed(address: string): ProbeResult {
  const reason = `${address} closed the connection; Talos is still starting`
  return { kind: 'silent', reason, hasClosed: true }
}

function stranger(address: string, speaks: string): ProbeResult {
  const reason = `another machine than ours answers at ${address}: port ${apiPort} there speaks ${speaks}, and is no Talos`
  return { kind: 'silent', reason, isStranger: true }
}

function judgeError(address: string, error: NodeJS.ErrnoException): ProbeResult {
  const code = error.code ?? error.message
  if (/ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE)/.test(code))
    return { kind: 'foreign', reason: `${address} asks for a certificate of a CA that is not ours` }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code))
    return stranger(address, 'no TLS')
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    return stranger(address, 'TLS without HTTP/2')
  if (code === 'ECONNRESET') return closed(address)
  const reason =
    code === 'ECONNREFUSED'
      ? `${address} is up, but Talos does not listen there yet`
      : code === 'EHOSTUNREACH' || code === 'ETIMEDOUT' || code === 'ENETUNREACH'
        ? `${address} does not answer (${code}); it may still be booting`
        : `${address}: ${code}`
  return { kind: 'silent', reason }
}

/**
 * By the signature itself: the CA and the certificates of Talos may have the same name, and a check of the
 * whole chain would then take the certificate for a self-signed one.
 */
function isSignedBy(socket: TLSSocket, ca: string): boolean {
  const certificate = socket.getPeerX509Certificate()
  return certificate?.verify(new X509Certificate(ca).publicKey) ?? false
}
