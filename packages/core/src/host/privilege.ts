import { Problem } from '../problem.ts'
import type { Run } from '../process/run.ts'

/** What lets a user work with libvirt and the pool's files on a host. */
export type Privilege = 'root' | 'sudo' | 'libvirt-group'

/** Goes before every command of a user who is root only through sudo. */
export const sudo: readonly string[] = ['sudo', '-n', '--']

/**
 * Which privilege the user of `run` has, the strongest first: root, sudo without a password, or just
 * the libvirt group, with which files reach a pool only if its folder is writable. Throws
 * HOST_NO_PRIVILEGE when there is none, and says what is missing.
 */
export async function findPrivilege(name: string, run: Run): Promise<Privilege> {
  const { stdout } = await run(
    `id -u; id -un; id -nG
if [ "$(id -u)" = 0 ]; then echo root
elif said=$(sudo -n -- true 2>&1); then echo sudo
else echo "no sudo: \${said##*$'\\n'}"; fi`,
    { called: 'id' },
  )
  const [uid, user = 'this user', groups = '', verdict = ''] = stdout.split('\n')
  if (uid === '0') return 'root'
  if (verdict === 'sudo') return 'sudo'
  if (groups.split(' ').includes('libvirt')) return 'libvirt-group'
  throw new Problem('HOST_NO_PRIVILEGE', `${user} on ${name} may not use libvirt`, {
    because: `it is not root, not in the group libvirt (its groups: ${groups}), and sudo wants a password or refuses (${verdict.replace(/^no sudo: /, '')})`,
    hint: `as root on ${name}, one of: usermod -aG libvirt ${user}; or echo '${user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${user}; or log in as root. Then log in anew`,
  })
}
