import { readdir, readFile } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import sshConfig from 'ssh-config'
import { Problem } from '../problem.ts'
import type { SshTarget } from './target.ts'

/** Where to connect to and with what: a target completed by ~/.ssh/config and OpenSSH's defaults. */
export interface SshSettings {
  /** What the user calls the host. */
  readonly alias: string
  /** What to connect to. */
  readonly host: string
  readonly port: number
  readonly user: string
  /** The name in known_hosts, when it isn't `host` (HostKeyAlias). */
  readonly hostKeyAlias: string | undefined
  /** The key file that the URI names. */
  readonly keyfile: string | undefined
  /** Key files that ~/.ssh/config names; OpenSSH passes over those that are not there. */
  readonly identityFiles: readonly string[]
  /** Key files that OpenSSH would also try, where they exist. */
  readonly defaultIdentityFiles: readonly string[]
  /** Try no other key of the agent than those of keyfile and identityFiles. */
  readonly identitiesOnly: boolean
  /** Socket of the agent. */
  readonly agent: string | undefined
  readonly knownHostsFiles: readonly string[]
  /** Hosts to go through, first to last, as ProxyJump names them. */
  readonly jumps: readonly string[]
}

/** The person at the keyboard, as far as SSH cares. */
export interface SshUser {
  readonly home: string
  readonly name: string
  readonly agent: string | undefined
}

/** The user who runs the program. */
export function currentSshUser(): SshUser {
  const { username } = userInfo()
  // oxlint-disable-next-line node/no-process-env -- OpenSSH knows its agent by this variable alone
  return { home: homedir(), name: username, agent: process.env['SSH_AUTH_SOCK'] || undefined }
}

/**
 * Completes a target. `configText` is ~/.ssh/config, `root` where relative paths of the URI start.
 * Throws SSH_PROXY_UNSUPPORTED for a ProxyCommand.
 */
export function completeTarget(
  target: Omit<SshTarget, 'kind'>,
  configText: string,
  user: SshUser,
  root: string,
): SshSettings {
  const found = sshConfig
    .parse(configText)
    .compute(
      target.user === undefined ? { Host: target.host } : { Host: target.host, User: target.user },
      { ignoreCase: true, matchExec: false },
    )
  const all = (key: string): string[] => [found[key] ?? []].flat()
  const one = (key: string): string | undefined => all(key)[0]
  const remoteUser = target.user ?? one('user') ?? user.name
  const host = (one('hostname') ?? target.host).replaceAll('%h', target.host)
  const path = (text: string): string => {
    const tokens = { '%d': user.home, '%u': user.name, '%r': remoteUser, '%h': host, '%%': '%' }
    const full = text.replaceAll(
      /%[durh%]/g,
      (token) => tokens[token as keyof typeof tokens] ?? token,
    )
    return full.replace(/^~(?=\/|$)/, user.home)
  }
  const fromRoot = (text: string): string => resolve(root, path(text))
  const fromSsh = (text: string): string => resolve(join(user.home, '.ssh'), path(text))
  const proxyCommand = one('proxycommand')
  const jumps = one('proxyjump') ?? 'none'
  if (jumps === 'none' && proxyCommand !== undefined && proxyCommand !== 'none')
    throw new Problem(
      'SSH_PROXY_UNSUPPORTED',
      `~/.ssh/config reaches ${target.host} by a ProxyCommand`,
      { hint: `write it as ProxyJump <host> there; only that is supported` },
    )
  return {
    alias: target.host,
    host,
    port: target.port ?? Number(one('port') ?? 22),
    user: remoteUser,
    hostKeyAlias: one('hostkeyalias'),
    keyfile: target.keyfile === undefined ? undefined : fromRoot(target.keyfile),
    identityFiles: all('identityfile')
      .filter((file) => file !== 'none')
      .map(fromSsh),
    defaultIdentityFiles:
      all('identityfile').length > 0
        ? []
        : ['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => join(user.home, '.ssh', name)),
    identitiesOnly: one('identitiesonly')?.toLowerCase() === 'yes',
    agent: agentOf(one('identityagent'), user, fromSsh),
    knownHostsFiles:
      target.knownHosts !== undefined
        ? [fromRoot(target.knownHosts)]
        : [
            ...(all('userknownhostsfile').length > 0
              ? all('userknownhostsfile')
              : ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']
            ).map(fromSsh),
            '/etc/ssh/ssh_known_hosts',
          ],
    jumps: jumps === 'none' ? [] : jumps.split(',').map((jump) => jump.trim()),
  }
}

/** A jump host as ProxyJump writes it: [user@]host[:port], or an ssh:// URI. */
export function parseJump(text: string): Omit<SshTarget, 'kind'> {
  const uri = `ssh://${text.replace(/^ssh:\/\//, '')}`
  if (!URL.canParse(uri) || new URL(uri).hostname === '')
    throw new Problem('SSH_PROXY_UNSUPPORTED', `the ProxyJump ${text} is not [user@]host[:port]`, {
      hint: 'correct it in ~/.ssh/config',
    })
  const { hostname, port, username } = new URL(uri)
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(port === '' ? {} : { port: Number(port) }),
    ...(username === '' ? {} : { user: decodeURIComponent(username) }),
  }
}

/** The text of an SSH config file with its Include lines replaced by what they include. */
export async function readSshConfig(path: string, home: string, depth = 0): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '')
  if (depth >= 16) return text
  const lines: string[] = []
  let section = 'Host *'
  for (const line of text.split('\n')) {
    const patterns = /^\s*include[\s=]+(.+)$/i.exec(line)?.[1]
    if (/^\s*(host|match)[\s=]/i.test(line)) section = line
    if (patterns === undefined) lines.push(line)
    for (const word of patterns?.match(/"[^"]*"|\S+/g) ?? [])
      for (const file of await filesOf(word.replaceAll('"', ''), home))
        // A section of the included file ends with it.
        lines.push(await readSshConfig(file, home, depth + 1), section)
  }
  return lines.join('\n')
}

/** Files that an Include pattern means; wildcards in the last part of the path only. */
async function filesOf(pattern: string, home: string): Promise<string[]> {
  const expanded = pattern.replace(/^~(?=\/)/, home)
  const full = isAbsolute(expanded) ? expanded : join(home, '.ssh', expanded)
  if (!/[*?]/.test(full)) return [full]
  const wanted = new RegExp(
    `^${basename(full)
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  )
  const names = await readdir(dirname(full)).catch(() => [])
  return names
    .filter((name) => wanted.test(name))
    .sort()
    .map((name) => join(dirname(full), name))
}

function agentOf(
  setting: string | undefined,
  user: SshUser,
  path: (text: string) => string,
): string | undefined {
  if (setting === undefined || setting === 'SSH_AUTH_SOCK') return user.agent
  return setting === 'none' ? undefined : path(setting)
}
