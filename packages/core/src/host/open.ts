/** Opens the host of a LIBVIRT_URI entry. */
import { localTransport } from '../process/local-transport.ts'
import { runner, type Run, type Transport } from '../process/run.ts'
import type { SshUser } from '../ssh/config.ts'
import { hostOver } from './files.ts'
import type { Host } from './host.ts'
import { local } from './local.ts'
import { findPrivilege, sudo } from './privilege.ts'
import { parseLibvirtUri } from './uri.ts'

/**
 * Opens the host of a LIBVIRT_URI entry; relative paths in it are resolved against `root`. `user` is the
 * user whose ~/.ssh is read, by default the current one. Commands run as root when the user is root or can
 * use sudo without a password. Throws the Problems of parseLibvirtUri, findPrivilege and connectSsh.
 */
export async function openHost(uri: string, root: string, user?: SshUser): Promise<Host> {
  const target = parseLibvirtUri(uri)
  if (target.kind === 'local') {
    const run = await privileged(local.name, localTransport)
    return hostOver(run, local)
  }
  // Loaded only when needed: the SSH library takes time to load.
  const { connectSsh } = await import('../ssh/connection.ts')
  const connection = await connectSsh(target, root, user)
  try {
    const run = await privileged(connection.name, connection.transport)
    return hostOver(run, { name: connection.name, isLocal: false, close: connection.close })
  } catch (error) {
    await connection.close()
    throw error
  }
}

async function privileged(name: string, transport: Transport): Promise<Run> {
  const run = runner(name, transport)
  const privilege = await findPrivilege(name, run)
  return privilege === 'sudo' ? runner(name, transport, sudo) : run
}
