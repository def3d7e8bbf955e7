/** Installs a Talos version on a machine that keeps running. */
import {
  CommandFailed,
  minute,
  Unrecoverable,
  plainLines,
  Problem,
  waitFor,
  withHeartbeat,
  type Node,
} from '@talosmith/core'
import semver from 'semver'
import { grpcCode, talosReason } from '@talosmith/clients/talos'
import type { UpgradeContext } from './context.ts'

/** How long an installation may take. */
export const installMs = 20 * minute

/** Whether the new version can be installed while the machine keeps running, before its restart. */
export function installsLive(machine: string, talosctl: string): boolean {
  return semver.gte(machine, '1.13.0') && semver.gte(talosctl, '1.13.7')
}

/** Installs an image into the machine's other boot slot; the machine keeps running its current version. */
export async function install(
  { talosctl, log }: UpgradeContext,
  node: Node,
  image: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const args = ['upgrade', `--image=${image}`, '--no-reboot', '--progress=plain']
  const check = async (): Promise<void> => {
    const output: string[] = []
    const onLine = (line: string): void => {
      output.push(...plainLines(line))
      onProgress(line)
    }
    try {
      // talosctl prints nothing while the machine pulls the image, which takes minutes.
      await withHeartbeat(
        () => talosctl.ask([node.address], args, { timeoutMs: installMs, onLine }),
        (seconds) => onProgress(`still installing after ${seconds} s: ${output.at(-1) ?? image}`),
      )
    } catch (error) {
      // Refused while the installation of a killed run is still in progress.
      const isTransient =
        isTimeout(error) || ['FailedPrecondition', 'Unavailable'].includes(grpcCode(error) ?? '')
      if (isTransient) throw new Error(talosReason(error))
      throw new Unrecoverable(output.slice(-5).join('\n') || talosReason(error))
    }
  }
  try {
    await waitFor(`${node.name} to install its new version`, check, {
      log,
      withinMs: installMs,
      everyMs: 5000,
      code: 'INSTALL_FAILED',
    })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    throw installFailed(node, error.because)
  }
}

/** Whether a call was ended by its timeout. */
export function isTimeout(error: unknown): boolean {
  return error instanceof CommandFailed && error.exitCode === 124
}

/** The problem of a machine whose installation failed; it keeps running its old version. */
export function installFailed({ name }: Pick<Node, 'name'>, because: string | undefined): Problem {
  return new Problem('INSTALL_FAILED', `${name} did not install its new version`, {
    because,
    now: 'it still runs its old version and was not restarted',
    hint: 'check that the machine can reach the image factory (TALOS_FACTORY_URL), then run the same command again',
  })
}
