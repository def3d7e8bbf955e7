import {
  CommandFailed,
  Unrecoverable,
  plainLines,
  Problem,
  waitFor,
  type Node,
} from '@talosmith/core'
import semver from 'semver'
import { minute } from '../configure/apply-context.ts'
import { grpcCode, talosReason } from '@talosmith/clients/talos'
import type { UpgradeContext } from './context.ts'

/** How long an installation may take. */
export const installMs = 20 * minute

/** Whether a machine takes its new version while it runs on, so that only the restart itself takes it away. */
export function installsLive(machine: string, talosctl: string): boolean {
  return semver.gte(machine, '1.13.0') && semver.gte(talosctl, '1.13.7')
}

/** Installs an image into the machine's other boot slot; it goes on with what it runs. */
export async function install(
  { talosctl, log }: UpgradeContext,
  node: Node,
  image: string,
  tell: (line: string) => void,
): Promise<void> {
  const args = ['upgrade', `--image=${image}`, '--no-reboot', '--progress=plain']
  const check = async (): Promise<void> => {
    const said: string[] = []
    const onLine = (line: string): void => {
      said.push(...plainLines(line))
      tell(line)
    }
    try {
      await talosctl.ask([node.address], args, { timeoutMs: installMs, onLine })
    } catch (error) {
      // Refused for now: the installation that a killed run has begun.
      const isPassing =
        isLate(error) || ['FailedPrecondition', 'Unavailable'].includes(grpcCode(error) ?? '')
      if (isPassing) throw new Error(talosReason(error))
      throw new Unrecoverable(said.slice(-5).join('\n') || talosReason(error))
    }
  }
  try {
    await waitFor(`${node.name} to take its new version`, check, {
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

/** Whether a call was ended by our time limit. */
export function isLate(error: unknown): boolean {
  return error instanceof CommandFailed && error.exitCode === 124
}

/** A machine that runs on as before. */
export function installFailed({ name }: Pick<Node, 'name'>, because: string | undefined): Problem {
  return new Problem('INSTALL_FAILED', `${name} did not install its new version`, {
    because,
    now: 'it runs as before and was not restarted',
    hint: 'see that the machine reaches the factory (TALOS_FACTORY_URL), then run the same command again',
  })
}
