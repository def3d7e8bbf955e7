import { readFile } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { NodeSSH } from 'node-ssh'
import { Problem } from '../problem.ts'
import { quote } from './command.ts'
import {
  checkHostKey,
  fingerprintOf,
  hostKeyAlgorithms,
  keyTypeOf,
  knownHostsLine,
  knownHostsName,
  parseKnownHosts,
  type KeyVerdict,
  type KnownHost,
} from './known-hosts.ts'
import { collectKeys } from './ssh-auth.ts'
import type { SshSettings } from './ssh-config.ts'

const readyTimeoutMs = 20_000

/**
 * Connects to one host, through `socket` when it lies behind another. The host's key is checked
 * before any of ours is shown. Every failure is a Problem whose code begins with SSH_.
 */
export async function connectHop(
  settings: SshSettings,
  name: string,
  socket: (() => Promise<Duplex>) | undefined,
): Promise<NodeSSH> {
  const files = await Promise.all(
    settings.knownHostsFiles.map((file) => readFile(file, 'utf8').catch(() => '')),
  )
  const known = files.flatMap(parseKnownHosts)
  const keyName = settings.hostKeyAlias ?? settings.host
  const keyPort = settings.hostKeyAlias === undefined ? settings.port : 22
  const algorithms = hostKeyAlgorithms(known, keyName, keyPort)
  const attempt = (offered: string[] | undefined): Promise<NodeSSH> =>
    connectOnce(settings, name, socket, { known, keyName, keyPort, algorithms: offered })
  try {
    return await attempt(algorithms)
  } catch (error) {
    // The host has none of the keys that are known: look at the one it has, to say which.
    const reason = error instanceof Problem ? error.because : undefined
    if (algorithms === undefined || !/no matching host key format/.test(reason ?? '')) throw error
    return attempt(undefined)
  }
}

interface KeyCheck {
  readonly known: readonly KnownHost[]
  readonly keyName: string
  readonly keyPort: number
  readonly algorithms: string[] | undefined
}

async function connectOnce(
  settings: SshSettings,
  name: string,
  socket: (() => Promise<Duplex>) | undefined,
  { known, keyName, keyPort, algorithms }: KeyCheck,
): Promise<NodeSSH> {
  const authentication = await collectKeys(settings)
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
        const verdict = checkHostKey(known, keyName, keyPort, key)
        if (verdict !== 'known') refusal = refuseKey(verdict, settings, keyName, keyPort, key)
        return verdict === 'known'
      },
      authHandler: authentication.next as never,
    })
  } catch (error) {
    ssh.dispose()
    throw refusal ?? connectProblem(error, settings, name, authentication.refused)
  }
  // Without a listener, a connection that breaks later would end the program.
  ssh.connection?.on('error', () => undefined)
  return ssh
}

function refuseKey(
  verdict: Exclude<KeyVerdict, 'known'>,
  { knownHostsFiles, alias }: SshSettings,
  keyName: string,
  port: number,
  key: Buffer,
): Problem {
  const file = knownHostsFiles[0] ?? '~/.ssh/known_hosts'
  const shown = `${keyTypeOf(key)} ${fingerprintOf(key)}`
  const kind = keyTypeOf(key).replace(/^ssh-|-sha2-.*$/g, '')
  const compare = `compare it with what the host says of itself, at its own console: ssh-keygen -lf /etc/ssh/ssh_host_${kind}_key.pub`
  const add = `echo ${quote(knownHostsLine(keyName, port, key))} >> ${quote(file)}`
  if (verdict === 'revoked')
    return new Problem('SSH_HOST_KEY_REVOKED', `${alias} shows a key that is marked as revoked`, {
      because: `${shown} stands behind @revoked in ${knownHostsFiles.join(' or ')}`,
      hint: 'somebody may sit between you and the host: do not go on before you know why',
    })
  if (verdict === 'changed')
    return new Problem('SSH_HOST_KEY_CHANGED', `${alias} shows another key than it did before`, {
      because: `${shown} is not the ${keyTypeOf(key)} key in ${knownHostsFiles.join(' or ')}; the host was installed anew, or somebody sits between you and it`,
      hint: `${compare}\nonly if they are the same: ssh-keygen -f ${quote(file)} -R ${quote(knownHostsName(keyName, port))} && ${add}`,
    })
  return new Problem('SSH_HOST_KEY_UNKNOWN', `the key of ${alias} is not known here`, {
    because: `it shows ${shown}, and ${knownHostsFiles.join(', ')} hold no such key of ${knownHostsName(keyName, port)}`,
    hint: `${compare}\nif they are the same: ${add}`,
  })
}

/** The Problem of a connection that didn't come about. */
export function connectProblem(
  error: unknown,
  { host, port, user, alias }: Pick<SshSettings, 'host' | 'port' | 'user' | 'alias'>,
  name: string,
  refused: (name: string, cause: unknown) => Problem,
): Problem {
  if (error instanceof Problem) return error
  const { code, level, message } = { code: '', level: '', message: '', ...describe(error) }
  const at = `${host} port ${port}`
  const problem = (problemCode: string, text: string, hint: string): Problem =>
    new Problem(problemCode, text, { cause: error, hint })
  if (level === 'client-authentication') return refused(name, error)
  if (code === 'ECONNREFUSED' || /Connection refused/.test(message))
    return problem(
      'SSH_CONNECTION_REFUSED',
      `nothing listens on ${at}`,
      `start SSH there (systemctl enable --now ssh), or correct the port in LIBVIRT_URI`,
    )
  if (
    code === 'ENOTFOUND' ||
    code === 'EAI_AGAIN' ||
    /Name or service not known|resolve/.test(message)
  )
    return problem(
      'SSH_NAME_UNKNOWN',
      `there is no address for the name ${host}`,
      `correct the host in LIBVIRT_URI, or give ${alias} a HostName in ~/.ssh/config; getent hosts ${host} shows what is known`,
    )
  if (code === 'ETIMEDOUT' || level === 'client-timeout' || /timed out/i.test(message))
    return problem(
      'SSH_TIMEOUT',
      `${at} did not answer within ${readyTimeoutMs / 1000} s`,
      `see whether it is on and no firewall stands before it: nc -vz ${host} ${port}`,
    )
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return problem(
      'SSH_UNREACHABLE',
      `there is no way to ${host}`,
      `see that it is on and in a network that this machine reaches: ip route get ${host}`,
    )
  return problem(
    'SSH_HANDSHAKE_FAILED',
    `${at} does not speak SSH with us`,
    `see whether OpenSSH gets along with it: ssh -v -p ${port} ${user}@${host} true`,
  )
}

function describe(error: unknown): { code?: string; level?: string; message?: string } {
  return error instanceof Error ? { ...error, message: error.message } : { message: String(error) }
}
