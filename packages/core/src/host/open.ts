/** Opens the host of a LIBVIRT_URI entry. */
import { isMac } from '../operator-system.ts'
import { Problem } from '../problem.ts'
import { localTransport } from '../process/local-transport.ts'
import { runner, type Run, type Transport } from '../process/run.ts'
import type { SshUser } from '../ssh/config.ts'
import { hostOver } from './files.ts'
import { lockHost, type HostLock, type Release } from './host-lock.ts'
import type { Host } from './host.ts'
import { local } from './local.ts'
import { findPrivilege, sudo } from './privilege.ts'
import { parseLibvirtUri } from './uri.ts'
import { minute } from '../wait.ts'

/** Ends what hangs on a host, such as the removal of a file whose server is down; what may take longer has its own. */
const limitMs = 10 * minute

/**
 * Opens the host of a LIBVIRT_URI entry; relative paths in it are resolved against `root`. `user` is the
 * user whose ~/.ssh is read, by default the current one. Commands run as root when the user is root or can
 * use sudo without a password. With `lock`, the cluster is locked there until the host is closed. Throws the Problems of
 * parseLibvirtUri, findPrivilege, lockHost and connectSsh, and HOST_NOT_LINUX.
 */
export async function openHost(
  uri: string,
  root: string,
  user?: SshUser,
  lock?: HostLock,
): Promise<Host> {
  const target = parseLibvirtUri(uri)
  if (target.kind === 'local') {
    if (isMac()) throw noHost()
    const { run, release } = await login(local.name, localTransport, lock)
    return hostOver(run, { ...local, close: release })
  }
  // Loaded only when needed: the SSH library takes time to load.
  const { connectSsh } = await import('../ssh/connection.ts')
  const connection = await connectSsh(target, root, user)
  try {
    const { run, release } = await login(connection.name, connection.transport, lock)
    const close = async (): Promise<void> => {
      await release()
      await connection.close()
    }
    return hostOver(run, { name: connection.name, isLocal: false, close })
  } catch (error) {
    await connection.close()
    throw error
  }
}

/** Finds out what the user may do, and takes the lock, at the same time. */
async function login(
  name: string,
  transport: Transport,
  lock: HostLock | undefined,
): Promise<{ run: Run; release: Release }> {
  const run = runner(name, transport, { limitMs })
  const [privilege, locked] = await Promise.allSettled([
    findPrivilege(name, run),
    lock === undefined ? async () => undefined : lockHost(name, run, lock),
  ])
  if (privilege.status === 'rejected') {
    if (locked.status === 'fulfilled') await locked.value()
    throw privilege.reason
  }
  if (locked.status === 'rejected') throw locked.reason
  const strong =
    privilege.value === 'sudo' ? runner(name, transport, { become: sudo, limitMs }) : run
  return { run: strong, release: locked.value }
}

/** The Problem of qemu:///system, the default, on macOS. */
function noHost(): Problem {
  return new Problem('HOST_NOT_LINUX', 'this machine runs macOS, which has no KVM', {
    because: 'LIBVIRT_URI is qemu:///system, which is this machine',
    now: 'nothing was changed',
    hint: 'set LIBVIRT_URI=qemu+ssh://<user>@<host>/system, the address of a Linux machine with KVM',
  })
}
