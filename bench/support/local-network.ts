/** A network whose addresses all belong to this machine, for servers at the addresses of machines. */
import { execFileSync } from 'node:child_process'

/** For measurements: https://www.rfc-editor.org/rfc/rfc2544#appendix-C.2.2. Loopback is refused for machines. */
const network = '198.18.0.0/16'

/** The network of a cluster of `count` machines, up to 250; call `addLocalNetwork` first. */
export function networkOf(count: number): string {
  return `198.18.${count}.0/24`
}

/** Routes the network to this machine until the process ends; needs root. */
export function addLocalNetwork(): void {
  const route = (verb: 'replace' | 'del'): void => {
    execFileSync('ip', ['route', verb, 'local', network, 'dev', 'lo'])
  }
  route('replace')
  process.once('exit', () => route('del'))
}
