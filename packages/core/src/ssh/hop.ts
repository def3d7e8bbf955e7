/** Connects to one SSH host, directly or through a jump host. */
import type { Duplex } from 'node:stream'
import { NodeSSH } from 'node-ssh'
import { Problem } from '../problem.ts'
import { collectKeys, type Authentication } from './auth.ts'
import type { Protocol } from './agent-offer.ts'
import type { SshSettings } from './config.ts'
import { checkHostKey, findKnownKeys, hostKeyAlgorithms, type KnownKeys } from './known-hosts.ts'
import { connectProblem, readyTimeoutMs, refuseKey } from './problems.ts'

/**
 * Connects to one host, through `socket` when it is behind a jump host. The host key is checked before any
 * user key is offered. Every failure is a Problem whose code begins with SSH_.
 */
export async function connectHop(
  settings: SshSettings,
  name: string,
  socket: (() => Promise<Duplex>) | undefined,
): Promise<NodeSSH> {
  const keyName = settings.hostKeyAlias ?? settings.host
  const keyPort = settings.hostKeyAlias === undefined ? settings.port : 22
  const known = await findKnownKeys(settings.knownHostsFiles, keyName, keyPort)
  const algorithms = hostKeyAlgorithms(known)
  const authentication = await collectKeys(settings)
  const attempt = async (offered: string[] | undefined): Promise<NodeSSH> => {
    const check = { known, keyName, keyPort, algorithms: offered }
    try {
      return await connectOnce(settings, name, socket, authentication, check)
    } catch (error) {
      if (!isRefusedKey(error) || !authentication.hasMore()) throw error
      return attempt(offered)
    }
  }
  try {
    return await attempt(algorithms)
  } catch (error) {
    // The host has no key of a known type: connect again to report the one that it has.
    const reason = error instanceof Problem ? error.because : undefined
    if (algorithms === undefined || !/no matching host key format/.test(reason ?? '')) throw error
    return attempt(undefined)
  }
}

/**
 * Whether a connection ended because of the keys that it offered: a server ends it after MaxAuthTries keys, six by
 * default, and ssh2 ends it when the agent refuses to sign with one.
 */
function isRefusedKey(error: unknown): boolean {
  const { cause } = error as { cause?: { message?: string; level?: string } }
  return cause?.level === 'agent' || /^Too many authentication failures/.test(cause?.message ?? '')
}

interface KeyCheck {
  readonly known: KnownKeys
  readonly keyName: string
  readonly keyPort: number
  readonly algorithms: string[] | undefined
}

async function connectOnce(
  settings: SshSettings,
  name: string,
  socket: (() => Promise<Duplex>) | undefined,
  authentication: Authentication,
  { known, keyName, keyPort, algorithms }: KeyCheck,
): Promise<NodeSSH> {
  const sock = await socket?.()
  const ssh = new NodeSSH()
  let refusal: Problem | undefined
  try {
    await ssh.connect({
      host: settings.host,
      port: settings.port,
      username: settings.user,
      readyTimeout: readyTimeoutMs,
      keepaliveInterval: 15_000,
      keepaliveCountMax: 4,
      ...(sock === undefined ? {} : { sock }),
      ...(algorithms === undefined ? {} : { algorithms: { serverHostKey: algorithms as never[] } }),
      hostVerifier: (key: Buffer) => {
        const verdict = checkHostKey(known, key)
        if (verdict !== 'known') refusal = refuseKey(verdict, settings, keyName, keyPort, key)
        return verdict === 'known'
      },
      authHandler: authentication.handler(() => protocolOf(ssh)) as never,
    })
  } catch (error) {
    ssh.dispose()
    throw refusal ?? connectProblem(error, settings, name, authentication.refused)
  }
  // Without a listener, a connection that is lost later would end the program.
  ssh.connection?.on('error', () => undefined)
  return ssh
}

/** ssh2's own protocol object, which its types leave out. */
function protocolOf({ connection }: NodeSSH): Protocol {
  return (connection as unknown as { _protocol: Protocol })._protocol
}
