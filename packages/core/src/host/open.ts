import { localTransport } from '../process/local-transport.ts'
import { runner, type Run, type Transport } from '../process/run.ts'
import type { SshUser } from '../ssh/config.ts'
import { hostOver } from './files.ts'
import type { Host } from './host.ts'
import { local } from './local.ts'
import { findPrivilege, sudo } from './privilege.ts'
import { parseLibvirtUri } from './uri.ts'

/**
 * Opens the host that a LIBVIRT_URI entry names; relative paths in it start at `root`;
 * `user` is whose ~/.ssh counts (by default: who runs the program). Commands run as
 * root when the user is root or can become it by sudo without a password. Throws the Problems of
 * parseLibvirtUri, findPrivilege and, far away, connectSsh.
 */
export async function openHost(uri: string, root: string, user?: SshUser): Promise<Host> {
  const target = parseLibvirtUri(uri)
  if (target.kind === 'local') {
    const run = await privileged(local.name, localTransport)
    return hostOver(run, local)
  }
  // A cluster on this machine never pays for SSH.
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
