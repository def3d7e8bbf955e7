/** A login on the lab's host as many people have it: in the group libvirt, without a way to become root. */
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { loginFolder, sshFolder, type LabHost } from '../src/layout.ts'
import { inside } from '../src/namespace.ts'

const name = 'operator'
const folder = `${loginFolder}/${name}`
const files = ['passwd', 'group']

/**
 * Adds the login with `shell` as its login shell, unless it exists. /etc/passwd and /etc/group of this machine are covered by copies,
 * inside the host only.
 */
export async function addOperator(host: LabHost, shell: string): Promise<void> {
  const script = `set -e
if ! id ${name} > /dev/null 2>&1; then
  for file in ${files.join(' ')}; do cp /etc/$file /run/$file; done
  echo '${name}:x:2000:2000::${folder}:${shell}' >> /run/passwd
  echo '${name}:x:2000:' >> /run/group
  sed -i 's/^libvirt:\\([^:]*\\):\\([0-9]*\\):.*/libvirt:\\1:\\2:${name}/' /run/group
  for file in ${files.join(' ')}; do mount --bind /run/$file /etc/$file; done
fi
install -d -m 755 ${loginFolder}
install -d -m 700 -o 2000 -g 2000 ${folder} ${folder}/.ssh
install -m 600 -o 2000 -g 2000 '${join(sshFolder, 'id_ed25519.pub')}' ${folder}/.ssh/authorized_keys`
  await local.$`${inside(host)} sh -c ${script}`
}

/** Removes the login. */
export async function removeOperator(host: LabHost): Promise<void> {
  const paths = files.map((file) => `/etc/${file}`)
  await local.$({ nothrow: true })`${inside(host)} umount ${paths}`
  await local.$`${inside(host)} rm -rf ${folder}`
}
