/** Whether a user may use libvirt on a host, and how. */
import { parseLabelledLines } from '../labelled-lines.ts'
import { Problem } from '../problem.ts'
import { quote } from '../process/command.ts'
import { hostShell } from '../process/host-shell.ts'
import type { Run } from '../process/run.ts'
import { CommandFailed, timeoutExitCode } from '../process/shell.ts'

/** The privilege with which a user accesses libvirt and the pool's files on a host. */
export type Privilege = 'root' | 'sudo' | 'libvirt'

/** A login shell with slow startup files, and sudo that looks up users in a directory service. */
const loginMs = 30_000

/** What virsh prints when libvirt does not let the user in: by the permissions of its socket, or polkit. */
export const deniedPattern = 'permission denied|authentication|polkit|access denied'

/** Put before every command of a user who is root only through sudo. */
export const sudo: readonly string[] = ['sudo', '-n', '--']

/**
 * The strongest privilege of the user of `run`: root, sudo without a password, or only libvirt, by a group or polkit,
 * which is found out by a connection. A libvirt that does not answer, for another reason than the user, is reported by
 * the first query of it. Throws HOST_NO_PRIVILEGE with the reason when there is none, and HOST_SHELL for a login that
 * runs no commands.
 */
export async function findPrivilege(name: string, run: Run): Promise<Privilege> {
  const output = await run(
    `echo "user $(id -un)"; echo "groups $(id -nG)"
if [ "$(id -u)" = 0 ]; then echo root
elif output=$(sudo -n -- true 2>&1); then echo sudo
else
  echo "sudo-denied \${output##*$'\\n'}"
  if output=$(timeout 10 virsh -q -c qemu:///system uri 2>&1); then echo libvirt
  elif grep -qiE ${quote(deniedPattern)} <<<"$output"; then echo "libvirt-denied \${output##*$'\\n'}"
  else echo libvirt; fi
fi`,
    { called: 'id', timeoutMs: loginMs, nothrow: true },
  )
  const { stdout, exitCode } = output
  const report = parseLabelledLines(stdout)
  if (exitCode === timeoutExitCode) throw hostShell(name, output)
  if (exitCode !== 0) throw new CommandFailed(name, 'id', output)
  for (const privilege of ['root', 'sudo', 'libvirt'] as const)
    if (report.has(privilege)) return privilege
  const user = report.first('user') ?? 'this user'
  const denied = report.first('libvirt-denied')?.replace(/^error: /, '') ?? ''
  throw new Problem('HOST_NO_PRIVILEGE', `${user} on ${name} has no permission to use libvirt`, {
    because: `it is not root, libvirt denies it access (its groups: ${report.first('groups') ?? ''}; ${denied}), and sudo needs a password or is not allowed (${report.first('sudo-denied') ?? ''})`,
    hint: `as root on ${name}, one of: usermod -aG libvirt ${user}; or echo '${user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${user}; or log in as root. Then log in again`,
  })
}
