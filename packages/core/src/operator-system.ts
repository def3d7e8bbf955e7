/** What differs between the systems that Talosmith runs on, Linux and macOS: commands in hints, builds of tools. */
import { arch, platform } from 'node:os'

/** Whether this machine runs macOS, which has neither /proc nor getent, ip or KVM. */
export function isMac(): boolean {
  return platform() === 'darwin'
}

/** The command that shows how this machine resolves a host name. */
export function resolveCommand(name: string): string {
  return isMac() ? `dscacheutil -q host -a name ${name}` : `getent hosts ${name}`
}

/** The command that shows this machine's route to a host. */
export function routeCommand(host: string): string {
  return isMac() ? `route -n get ${host}` : `ip route get ${host}`
}

/** This machine's system and processor as releases of Go programs name them. */
export function goPlatform(): { readonly os: string; readonly arch: string } {
  return { os: isMac() ? 'darwin' : 'linux', arch: arch() === 'arm64' ? 'arm64' : 'amd64' }
}
