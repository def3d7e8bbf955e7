/** SSH settings of a host, completed by OpenSSH's own configuration. */
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { Problem } from '../problem.ts'
import { clientTimeoutMs, runClient } from './client.ts'
import type { SshTarget } from './target.ts'

/** How to connect to a host: a target completed by ~/.ssh/config and OpenSSH's defaults. */
export interface SshSettings {
  /** The host as written by the user. */
  readonly alias: string
  /** The host name or address to connect to. */
  readonly host: string
  readonly port: number
  readonly user: string
  /** The name in known_hosts, when it isn't `host` (HostKeyAlias). */
  readonly hostKeyAlias: string | undefined
  /** The key file of the URI. */
  readonly keyfile: string | undefined
  /** Key files of ~/.ssh/config; OpenSSH ignores those that do not exist. */
  readonly identityFiles: readonly string[]
  /** Certificates of ~/.ssh/config, which an agent may have. */
  readonly certificateFiles: readonly string[]
  /** OpenSSH's default key files, used if they exist. */
  readonly defaultIdentityFiles: readonly string[]
  /** Use only those keys of the agent that are in keyfile or identityFiles. */
  readonly identitiesOnly: boolean
  /** Socket of the agent. */
  readonly agent: string | undefined
  readonly knownHostsFiles: readonly string[]
  /** Jump hosts, first to last, as written in ProxyJump. */
  readonly jumps: readonly string[]
}

/** The local user whose SSH configuration is used. */
export interface SshUser {
  readonly home: string
  readonly name: string
  readonly agent: string | undefined
  /** The value of an environment variable, which paths of the configuration may contain. */
  readonly variable?: (name: string) => string | undefined
  /** Read instead of ~/.ssh/config and /etc/ssh/ssh_config. */
  readonly configFile?: string
}

/** The current user, from the user database and not from $HOME, as OpenSSH does it. */
export function currentSshUser(): SshUser {
  const { username, homedir } = userInfo()
  // oxlint-disable-next-line node/no-process-env -- the agent's socket, and variables that ~/.ssh/config names
  const variable = (name: string): string | undefined => process.env[name] || undefined
  return { home: homedir, name: username, agent: variable('SSH_AUTH_SOCK'), variable }
}

/**
 * Completes a target with the output of `ssh -G`; relative paths of the URI are resolved against `root`.
 * Throws SSH_CONFIG_INVALID with the error of ssh, and SSH_PROXY_UNSUPPORTED for a ProxyCommand.
 */
export async function completeTarget(
  target: Omit<SshTarget, 'kind'>,
  user: SshUser,
  root: string,
): Promise<SshSettings> {
  const { stdout, stderr, exitCode } = await runClient('ssh', [
    '-G',
    '-T',
    ...(user.configFile === undefined ? [] : ['-F', user.configFile]),
    ...(target.user === undefined ? [] : ['-l', target.user]),
    ...(target.port === undefined ? [] : ['-p', String(target.port)]),
    '--',
    target.host,
  ])
  if (exitCode !== 0)
    throw new Problem(
      'SSH_CONFIG_INVALID',
      `ssh could not read its configuration for ${target.host}`,
      {
        because:
          exitCode === undefined
            ? `ssh -G did not end within ${clientTimeoutMs / 1000} s`
            : stderr.trim() || `ssh -G exited with ${exitCode}`,
        hint: `correct ~/.ssh/config; to check it: ssh -G ${target.host}`,
      },
    )
  return settingsFrom(stdout, target, user, root)
}

/** The settings in the output of `ssh -G`: a keyword in lower case and its value on each line. */
function settingsFrom(
  printed: string,
  target: Omit<SshTarget, 'kind'>,
  user: SshUser,
  root: string,
): SshSettings {
  const entries = printed.split('\n').map((line) => /^(\S+) (.*)$/.exec(line) ?? [])
  const all = (keyword: string): string[] =>
    entries.flatMap(([, key, value = '']) => (key === keyword ? [value] : []))
  const one = (keyword: string): string | undefined => all(keyword)[0]
  const given = (keyword: string): string[] => all(keyword).filter((value) => value !== 'none')
  const host = one('hostname') ?? target.host
  const port = Number(one('port') ?? 22)
  const remoteUser = one('user') ?? user.name
  // ssh -G expands only some of the paths.
  const path = (text: string): string => {
    const tokens: Readonly<Record<string, string>> = {
      ...{ '%d': user.home, '%u': user.name, '%r': remoteUser, '%%': '%' },
      ...{ '%h': host, '%n': target.host, '%p': String(port), '%k': one('hostkeyalias') ?? host },
    }
    const full = text
      .replaceAll(/\$\{(\w+)\}/g, (whole, variable: string) => user.variable?.(variable) ?? whole)
      .replaceAll(/%[dhknpru%]/g, (token) => tokens[token] ?? token)
    return full.replace(/^~(?=\/|$)/, user.home)
  }
  const fromRoot = (text: string): string => resolve(root, path(text))
  const fromSsh = (text: string): string => resolve(join(user.home, '.ssh'), path(text))
  const [jumps] = given('proxyjump')
  if (jumps === undefined && given('proxycommand').length > 0)
    throw new Problem(
      'SSH_PROXY_UNSUPPORTED',
      `~/.ssh/config uses a ProxyCommand for ${target.host}`,
      { hint: `use ProxyJump <host> instead; ProxyCommand is not supported` },
    )
  const identityFiles = given('identityfile')
  const areDefaults = isDefault(identityFiles)
  return {
    alias: target.host,
    host,
    port,
    user: remoteUser,
    hostKeyAlias: one('hostkeyalias'),
    keyfile: target.keyfile === undefined ? undefined : fromRoot(target.keyfile),
    identityFiles: areDefaults ? [] : identityFiles.map(fromSsh),
    certificateFiles: given('certificatefile').map(fromSsh),
    defaultIdentityFiles: areDefaults ? identityFiles.map(fromSsh) : [],
    identitiesOnly: one('identitiesonly') === 'yes',
    agent: agentOf(one('identityagent'), user, fromSsh),
    knownHostsFiles:
      target.knownHosts === undefined
        ? [...given('userknownhostsfile'), ...given('globalknownhostsfile')]
            .flatMap(pathsOf)
            .map(fromSsh)
        : [fromRoot(target.knownHosts)],
    jumps: jumps?.split(',').map((jump) => jump.trim()) ?? [],
  }
}

/** Whether these are OpenSSH's default key files, which it lists when its configuration has none. */
function isDefault(identityFiles: readonly string[]): boolean {
  return (
    identityFiles.length > 2 &&
    identityFiles.every((file) => /^~\/\.ssh\/id_[a-z0-9_]+$/.test(file))
  )
}

/** The paths on one line, which ssh separates by spaces without quoting spaces within a path. */
function pathsOf(line: string): string[] {
  return line.split(/ (?=[/~%])/)
}

function agentOf(
  setting: string | undefined,
  user: SshUser,
  path: (text: string) => string,
): string | undefined {
  if (setting === undefined || setting === 'SSH_AUTH_SOCK') return user.agent
  // The name of a variable (ssh_config(5), IdentityAgent); without a value there is no agent.
  const [, variable] = /^\$(\w+)$/.exec(setting) ?? []
  if (variable !== undefined) return user.variable?.(variable)
  return setting === 'none' ? undefined : path(setting)
}

/** Parses a jump host of ProxyJump: [user@]host[:port], or an ssh:// URI. */
export function parseJump(text: string): Omit<SshTarget, 'kind'> {
  const [whole, scheme, user, inBrackets, plain, port] =
    /^(ssh:\/\/)?(?:(.+)@)?(?:\[([^[\]]+)\]|([^[\]:/@]+))(?::(\d+))?\/?$/.exec(text) ?? []
  const host = inBrackets ?? plain
  if (whole === undefined || host === undefined)
    throw new Problem('SSH_PROXY_UNSUPPORTED', `the ProxyJump ${text} is not [user@]host[:port]`, {
      hint: 'correct it in ~/.ssh/config',
    })
  return {
    host,
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(user === undefined ? {} : { user: scheme === undefined ? user : decodeURIComponent(user) }),
  }
}
