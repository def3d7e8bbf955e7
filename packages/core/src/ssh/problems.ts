import { Problem } from '../problem.ts'
import { quote } from '../process/command.ts'
import type { SshSettings } from './config.ts'
import {
  fingerprintOf,
  keyTypeOf,
  knownHostsLine,
  knownHostsName,
  type KeyVerdict,
} from './known-hosts.ts'

/** How long a host may take to get from the connection to the login. */
export const readyTimeoutMs = 20_000

/** The Problem of a host whose key can't be trusted; its hint repairs known_hosts. */
export function refuseKey(
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

/** The Problem of a connection that didn't come about; `refused` makes the one of a refused login. */
export function connectProblem(
  error: unknown,
  { host, port, user, alias }: Pick<SshSettings, 'host' | 'port' | 'user' | 'alias'>,
  name: string,
  refused: (name: string, cause: unknown) => Problem,
): Problem {
  if (error instanceof Problem) return error
  const { code = '', level = '', message = '' } = describe(error)
  const at = `${host} port ${port}`
  if (level === 'client-authentication') return refused(name, error)
  if (code === 'ECONNREFUSED' || /Connection refused/.test(message))
    return new Problem('SSH_CONNECTION_REFUSED', `nothing listens on ${at}`, {
      cause: error,
      hint: `start SSH there (systemctl enable --now ssh), or correct the port in LIBVIRT_URI`,
    })
  if (['ENOTFOUND', 'EAI_AGAIN'].includes(code) || /not known|resolve/.test(message))
    return new Problem('SSH_NAME_UNKNOWN', `there is no address for the name ${host}`, {
      cause: error,
      hint: `correct the host in LIBVIRT_URI, or give ${alias} a HostName in ~/.ssh/config; getent hosts ${host} shows what is known`,
    })
  if (code === 'ETIMEDOUT' || level === 'client-timeout' || /timed out/i.test(message))
    return new Problem('SSH_TIMEOUT', `${at} did not answer within ${readyTimeoutMs / 1000} s`, {
      cause: error,
      hint: `see whether it is on and no firewall stands before it: nc -vz ${host} ${port}`,
    })
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || /[Nn]o route/.test(message))
    return new Problem('SSH_UNREACHABLE', `there is no way to ${host}`, {
      cause: error,
      hint: `see that it is on and in a network that this machine reaches: ip route get ${host}`,
    })
  return new Problem('SSH_HANDSHAKE_FAILED', `${at} does not speak SSH with us`, {
    cause: error,
    hint: `see whether OpenSSH gets along with it: ssh -v -p ${port} ${user}@${host} true`,
  })
}

function describe(error: unknown): { code?: string; level?: string; message?: string } {
  // oxlint-disable-next-line typescript/no-misused-spread -- ssh2 puts code and level on its errors as own fields
  return error instanceof Error ? { ...error, message: error.message } : { message: String(error) }
}
