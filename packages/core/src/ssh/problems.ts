/** The Problems of SSH connections. */
import { resolveCommand, routeCommand } from '../operator-system.ts'
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

/** Timeout from the connection to the login. */
export const readyTimeoutMs = 20_000

/** The Problem of a host whose key can't be trusted; its hint has the command that updates known_hosts. */
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
  const compare = `compare it with the host's own key, on its console: ssh-keygen -lf /etc/ssh/ssh_host_${kind}_key.pub`
  const add = `echo ${quote(knownHostsLine(keyName, port, key))} >> ${quote(file)}`
  if (verdict === 'revoked')
    return new Problem('SSH_HOST_KEY_REVOKED', `the host key of ${alias} is marked as revoked`, {
      because: `${shown} is listed as @revoked in ${knownHostsFiles.join(' or ')}`,
      hint: 'this could be a man-in-the-middle attack: do not connect before you know why the key was revoked',
    })
  if (verdict === 'changed')
    return new Problem('SSH_HOST_KEY_CHANGED', `the host key of ${alias} has changed`, {
      because: `${shown} is not the ${keyTypeOf(key)} key in ${knownHostsFiles.join(' or ')}; the host was reinstalled, or this is a man-in-the-middle attack`,
      hint: `${compare}\nonly if they match: ssh-keygen -f ${quote(file)} -R ${quote(knownHostsName(keyName, port))} && ${add}`,
    })
  return new Problem('SSH_HOST_KEY_UNKNOWN', `the host key of ${alias} is not in known_hosts`, {
    because: `its key is ${shown}; ${knownHostsFiles.join(' and ')} have no such key for ${knownHostsName(keyName, port)}`,
    hint: `${compare}\nif they match: ${add}`,
  })
}

/** The Problem of a failed connection; `refused` creates the one of a rejected login. */
export function connectProblem(
  error: unknown,
  { host, port, user, alias }: Pick<SshSettings, 'host' | 'port' | 'user' | 'alias'>,
  name: string,
  refused: (name: string, cause: unknown) => Problem,
): Problem {
  if (error instanceof Problem) return error
  const { code = '', level = '', message = '' } = describe(error)
  const at = `${host} port ${port}`
  if (level === 'client-authentication' || level === 'agent') return refused(name, error)
  if (/^Too many authentication failures/.test(message)) return refused(name, error)
  if (code === 'ECONNREFUSED' || /Connection refused/.test(message))
    return new Problem('SSH_CONNECTION_REFUSED', `${at}: connection refused`, {
      cause: error,
      hint: `start sshd there (systemctl enable --now ssh), or correct the port in LIBVIRT_URI`,
    })
  if (['ENOTFOUND', 'EAI_AGAIN'].includes(code) || /not known|resolve/.test(message))
    return new Problem('SSH_NAME_UNKNOWN', `the host name ${host} could not be resolved`, {
      cause: error,
      hint: `correct the host in LIBVIRT_URI, or give ${alias} a HostName in ~/.ssh/config; to check: ${resolveCommand(host)}`,
    })
  if (code === 'ETIMEDOUT' || level === 'client-timeout' || /timed out/i.test(message))
    return new Problem('SSH_TIMEOUT', `${at} did not answer within ${readyTimeoutMs / 1000} s`, {
      cause: error,
      hint: `check that it is on and not blocked by a firewall: nc -vz ${host} ${port}`,
    })
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || /[Nn]o route/.test(message))
    return new Problem('SSH_UNREACHABLE', `no route to ${host}`, {
      cause: error,
      hint: `check that it is on and that this machine has a route to it: ${routeCommand(host)}`,
    })
  return new Problem('SSH_HANDSHAKE_FAILED', `the SSH handshake with ${at} failed`, {
    cause: error,
    hint: `check whether OpenSSH can connect: ssh -v -p ${port} ${user}@${host} true`,
  })
}

function describe(error: unknown): { code?: string; level?: string; message?: string } {
  // oxlint-disable-next-line typescript/no-misused-spread -- ssh2 puts code and level on its errors as own fields
  return error instanceof Error ? { ...error, message: error.message } : { message: String(error) }
}
