/** The daemons of a lab host: sshd, libvirt, the factory, NFS. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { local, projectRoot, waitFor, type Log } from '@talosmith/core'
import {
  exportPath,
  factoryPort,
  loginFolder,
  readOnlyExportPath,
  squashedExportPath,
  sshFolder,
  type LabHost,
} from './layout.ts'
import { inside } from './namespace.ts'
import { runningProcess, startDaemon, stopDaemon, type Running } from './processes.ts'

const pidFile = (host: LabHost, name: string): string => join(host.folder, 'pids', name)
const logFile = (host: LabHost, name: string): string => join(host.folder, 'log', `${name}.log`)

function daemon(host: LabHost, name: string, ...command: string[]): void {
  startDaemon(pidFile(host, name), logFile(host, name), [...inside(host), ...command])
}

/** The host's daemons: name, and process if running. */
export function daemonsOf(host: LabHost): { name: string; running: Running | undefined }[] {
  return ['sshd', 'virtlogd', 'libvirtd', 'factory', 'nfs'].map((name) => ({
    name,
    running: runningProcess(pidFile(host, name)),
  }))
}

/** sshd with a host key, a user key and a known_hosts of the lab's own. */
export async function startHostSshd(host: LabHost): Promise<void> {
  if (runningProcess(pidFile(host, 'sshd')) !== undefined) return
  const hostKey = join(sshFolder, `${host.name}_host_key`)
  const userKey = join(sshFolder, 'id_ed25519')
  await local.$`mkdir -p -m 700 ${sshFolder}`
  for (const [path, comment] of [
    [hostKey, host.name],
    [userKey, 'talosmith-lab'],
  ] as const)
    if (!existsSync(path)) await local.$`ssh-keygen -q -t ed25519 -N ${''} -C ${comment} -f ${path}`
  const hostLine = (await local.read(`${hostKey}.pub`)).split(' ').slice(0, 2).join(' ')
  await noteHostKey(`${host.address} ${hostLine}`)
  await local.write(join(sshFolder, 'authorized_keys'), await local.read(`${userKey}.pub`), {
    mode: 0o600,
  })
  const config = join(sshFolder, `${host.name}_sshd_config`)
  await local.write(
    config,
    [
      `ListenAddress ${host.address}`,
      `HostKey ${hostKey}`,
      // The second is of logins that chapters add.
      `AuthorizedKeysFile ${join(sshFolder, 'authorized_keys')} ${loginFolder}/%u/.ssh/authorized_keys`,
      'PidFile none',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      // The checkout may lie below a folder that others can write.
      'StrictModes no',
      'UsePAM no',
      'UseDNS no',
      'MaxSessions 64',
      'MaxStartups 64',
      // Keeps bash from reading this machine's ~/.bashrc, which is not the host's.
      'SetEnv SHLVL=5',
      'Subsystem sftp internal-sftp',
    ].join('\n') + '\n',
  )
  daemon(host, 'sshd', '/usr/sbin/sshd', '-D', '-e', '-f', config)
}

/** Writes a line of known_hosts; an earlier one of the same address goes. */
async function noteHostKey(line: string): Promise<void> {
  const file = join(sshFolder, 'known_hosts')
  const [address] = line.split(' ')
  const others = (existsSync(file) ? await local.read(file) : '')
    .split('\n')
    .filter((other) => other !== '' && other.split(' ')[0] !== address)
  await local.write(file, `${[...others, line].join('\n')}\n`)
}

/** libvirtd and virtlogd, without the confinement that containers do not support; and the host's pool. */
export async function startLibvirt(host: LabHost, log: Log): Promise<void> {
  const etc = join(host.folder, 'root', 'etc', 'libvirt')
  const qemu = {
    user: '"root"',
    group: '"root"',
    security_driver: '"none"',
    cgroup_controllers: '[ ]',
    namespaces: '[ ]',
    remember_owner: '0',
    stdio_handler: '"logd"',
  }
  const lines = Object.entries(qemu).map(([key, value]) => `${key} = ${value}\n`)
  // Debian lets the group libvirt in through polkit, which does not run here.
  const socket = [
    'unix_sock_group = "libvirt"',
    'unix_sock_rw_perms = "0770"',
    'auth_unix_rw = "none"',
  ]
  if (!daemonsOf(host).some(({ name, running }) => name === 'libvirtd' && running !== undefined)) {
    await local.write(join(etc, 'qemu.conf'), lines.join(''))
    await local.write(join(etc, 'libvirtd.conf'), socket.map((line) => `${line}\n`).join(''))
  }
  daemon(host, 'virtlogd', '/usr/sbin/virtlogd')
  daemon(host, 'libvirtd', '/usr/sbin/libvirtd')
  const virsh = [...inside(host), 'virsh', '-q', '-c', 'qemu:///system']
  const { stdout } = await waitFor(
    "the lab's libvirtd to answer",
    () => local.$`${virsh} pool-list --all`,
    {
      log,
      withinMs: 30_000,
      everyMs: 250,
      hint: `look at ${logFile(host, 'libvirtd')}`,
    },
  )
  const { name, folder } = host.pool
  const state = new RegExp(`^ *${name} +(\\S+)`, 'm').exec(stdout)?.[1]
  if (state === undefined) {
    await local.$`${virsh} pool-define-as ${name} dir --target ${`/var/lib/libvirt/${folder}`}`
    await local.$`${virsh} pool-autostart ${name}`
  }
  if (state !== 'active') await local.$`${virsh} pool-start ${name}`
}

/**
 * Starts the Image Factory. A running one of another `version` is replaced.
 */
export async function startFactory(host: LabHost, version: string, log: Log): Promise<void> {
  const file = pidFile(host, 'factory')
  const running = runningProcess(file)
  if (running?.version === version) return
  if (running !== undefined) await stopDaemon(file)
  const program = join(projectRoot, 'lab', 'src', 'factory', 'serve.ts')
  const url = `http://${host.address}:${factoryPort}`
  const node = [process.execPath, '--import', import.meta.resolve('tsx')]
  const command = [...inside(host), ...node, program, '--listen', host.address, '--url', url]
  startDaemon(file, logFile(host, 'factory'), command, version)
  await waitFor(
    "the lab's Image Factory to answer",
    () => local.$`curl -sf -o /dev/null ${`${url}/healthz`}`,
    { log, withinMs: 30_000, everyMs: 250, hint: `look at ${logFile(host, 'factory')}` },
  )
}

/**
 * An NFS server (NFS-Ganesha, protocol 4) that exports folders of the host, one of them read-only, one with
 * root squashed. One that was started with other settings is replaced.
 */
export async function startNfs(host: LabHost): Promise<void> {
  const exports = [
    { path: exportPath, access: 'RW', squash: 'No_Root_Squash' },
    { path: readOnlyExportPath, access: 'RO', squash: 'No_Root_Squash' },
    { path: squashedExportPath, access: 'RW', squash: 'Root_Squash' },
  ]
  const settings = [
    `NFS_CORE_PARAM { Protocols = 4; Bind_addr = ${host.address}; NFS_Port = 2049; Enable_NLM = false; Enable_RQUOTA = false; }`,
    'NFSv4 { Grace_Period = 5; Lease_Lifetime = 10; RecoveryBackend = fs; Only_Numeric_Owners = true; }',
    ...exports.map(
      ({ path, access, squash }, index) =>
        `EXPORT { Export_Id = ${index + 1}; Path = ${path}; Pseudo = ${path}; Access_Type = ${access}; Squash = ${squash}; SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }`,
    ),
  ].join('\n')
  const file = pidFile(host, 'nfs')
  const version = createHash('sha256').update(settings).digest('hex').slice(0, 12)
  const running = runningProcess(file)
  if (running?.version === version) return
  if (running !== undefined) await stopDaemon(file)
  // Writable for root only, whatever this machine's umask is.
  for (const { path } of exports) await local.$`mkdir -p -m 755 ${join(host.folder, 'root', path)}`
  const config = join(host.folder, 'ganesha.conf')
  await local.write(config, `${settings}\n`)
  const flags = ['-F', '-L', 'STDOUT', '-f', config, '-p', '/run/ganesha.pid']
  const command = [...inside(host), '/usr/bin/ganesha.nfsd', ...flags]
  startDaemon(file, logFile(host, 'nfs'), command, version)
}
