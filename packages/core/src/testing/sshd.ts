/** A real sshd for tests. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SshUser } from '../ssh/config.ts'
import { temporaryFolder } from './temporary-folder.ts'

const program = '/usr/sbin/sshd'

/** Whether sshd can be started here: it is installed, and the tests run as root. */
export const hasSshd = existsSync(program) && process.getuid?.() === 0

/** A real sshd on a loopback port, with temporary keys and a temporary folder as the user's home. */
export interface Sshd {
  readonly port: number
  readonly user: SshUser
  /** The private key that it accepts. */
  readonly key: string
  /** The LIBVIRT_URI with that key and the known_hosts file. */
  readonly uri: string
  /** A path in the folder that is the user's $HOME. */
  path(name: string): string
  hostKey(type: string): Promise<string>
  log(): Promise<string>
  /** Writes the user's ~/.ssh/config; only its own known_hosts file is used. */
  configure(text: string): Promise<void>
  stop(): Promise<void>
}

export function makeKey(path: string, type = 'ed25519', passphrase = ''): void {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', path])
}

/** Starts an sshd; `hostKeys` are the types of its host keys, `more` are further lines of sshd_config. */
export async function startSshd(
  hostKeys: readonly string[] = ['ed25519'],
  more: readonly string[] = [],
): Promise<Sshd> {
  const folder = temporaryFolder('sshd')
  const path = (name: string): string => join(folder, name)
  await mkdir(path('.ssh'), { mode: 0o700 })
  await mkdir('/run/sshd', { recursive: true })
  makeKey(path('.ssh/accepted'))
  for (const type of hostKeys) makeKey(path(`host_${type}`), type)
  await appendFile(path('authorized_keys'), await readFile(path('.ssh/accepted.pub')))
  const configure = (text: string): Promise<void> =>
    writeFile(
      path('.ssh/config'),
      `${text}\nMatch all\n  UserKnownHostsFile ${path('.ssh/known_hosts')}\n`,
    )
  await configure('')
  const port = await freePort()
  const hostKey = async (type: string): Promise<string> =>
    (await readFile(path(`host_${type}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ')
  for (const type of hostKeys)
    await appendFile(path('.ssh/known_hosts'), `[127.0.0.1]:${port} ${await hostKey(type)}\n`)
  await writeFile(
    path('sshd_config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeys.map((type) => `HostKey ${path(`host_${type}`)}`),
      `AuthorizedKeysFile ${path('authorized_keys')}`,
      `PidFile ${path('pid')}`,
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'StrictModes no',
      'UsePAM no',
      'LogLevel VERBOSE',
      // Prevents bash from reading the ~/.bashrc of the user who runs the tests, which may be slow.
      'SetEnv SHLVL=5',
      ...more,
    ].join('\n'),
  )
  const sshd = spawn(program, ['-D', '-f', path('sshd_config'), '-E', path('log')], {
    stdio: 'ignore',
  })
  // A failing test must not wait for sshd, and a crashing one must not leave it running.
  sshd.unref()
  process.once('exit', () => sshd.kill())
  const log = (): Promise<string> => readFile(path('log'), 'utf8').catch(() => '')
  for (let wait = 0; !(await log()).includes('Server listening'); wait += 1) {
    if (wait > 200 || sshd.exitCode !== null) throw new Error(`sshd did not start: ${await log()}`)
    await sleep(25)
  }
  return {
    port,
    user: {
      home: folder,
      name: userInfo().username,
      agent: undefined,
      configFile: path('.ssh/config'),
    },
    key: path('.ssh/accepted'),
    uri: `qemu+ssh://root@127.0.0.1:${port}/system?keyfile=${path('.ssh/accepted')}&known_hosts=${path('.ssh/known_hosts')}`,
    path,
    hostKey,
    log,
    configure,
    stop: () => stopProcess(sshd),
  }
}

export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.ref()
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill()
  await gone
}

/** A free port of the loopback address. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
