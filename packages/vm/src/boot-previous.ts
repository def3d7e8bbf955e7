/** Whether a machine is beyond Talos' API, by its console, and what then boots its previous version: observe and plan. */
import {
  bootFailure,
  commandFor,
  consoleSince,
  consoleSize,
  lastBoot,
  minute,
  plainLines,
  Problem,
  waitFor,
  type BootFailure,
  type Change,
  type Cluster,
  type Host,
  type Log,
  type Node,
} from '@talosmith/core'
import { probe } from '@talosmith/clients/talos'
import { rollbackCommand } from './keep-previous.ts'
import type { ObservedHost } from './observe.ts'
import { domainOf } from './place.ts'

/** A machine that may hang after an upgrade. */
export interface ObservedHang {
  readonly name: string
  readonly address: string
  /** libvirt's state; undefined: there is no such machine of the cluster. */
  readonly state: string | undefined
  /** Whether it boots by UEFI; machines that boot by BIOS have GRUB. */
  readonly uefi: boolean
  /** Whether its Talos API answers, in whatever way. */
  readonly answers: boolean
  /** How its last boot failed, by its console. */
  readonly failure: BootFailure | undefined
  /** Whether its console can be read, which shows the boot menu. */
  readonly hasConsole: boolean
  /** Whether its console went on while it was observed: it may still be booting. */
  readonly isWriting: boolean
}

/** A change of vm:boot-previous. */
export interface BootChange extends Change {
  readonly kind: 'boot-previous' | 'keep-previous'
}

/** How often a machine without a known failure is looked at before it counts as hanging: for half a minute. */
const quietLooks = 7
const lookMs = 5000
/** Enough for the last boots. */
const consoleBytes = 60_000

/** Observes the machine; for half a minute, where its console shows no failure. */
export async function observeHang(
  { cluster, log }: { readonly cluster: Cluster; readonly log: Log },
  node: Node,
  on: ObservedHost,
  host: Host,
): Promise<ObservedHang> {
  const { name, address } = node
  const domain = domainOf(node, on)
  const state = domain?.owner === cluster.name ? domain.live.state : undefined
  const uefi = domain?.machine.uefi ?? false
  // Any answer counts, also one by another CA or in maintenance mode.
  const answers = async (): Promise<boolean> => {
    const result = await probe(address, undefined)
    if (result.kind !== 'silent' || result.hasClosed === true) return true
    // From its host, too: this computer may be cut off from the machines' network.
    const { stdout } = await host.$({
      nothrow: true,
      timeoutMs: 20_000,
    })`timeout 5 bash -c ${`exec 3<>/dev/tcp/${address}/50000`} 2>/dev/null && echo open || echo silent`
    return stdout.trim() === 'open'
  }
  const known = { name, address, state, uefi, hasConsole: true, isWriting: false }
  if (state !== 'running') return { ...known, answers: false, failure: undefined }
  const [isUp, before] = await Promise.all([answers(), consoleSize(host, name)])
  const start = Math.max(0, before - consoleBytes)
  const text = await consoleSince(host, name, start).catch(() => undefined)
  const failure = bootFailure(lastBoot(plainLines(text ?? '')))
  if (isUp || text === undefined || (failure !== undefined && failure.kind !== 'reverts'))
    return { ...known, answers: isUp, failure, hasConsole: text !== undefined }
  let looks = 0
  const watched = await waitFor(
    `${name} to show whether it hangs`,
    async () => {
      const [isUpNow, size] = await Promise.all([answers(), consoleSize(host, name)])
      if (isUpNow || size !== before || ++looks === quietLooks)
        return { answers: isUpNow, isWriting: size !== before }
      throw new Error('its console is watched for half a minute')
    },
    { log, withinMs: 5 * minute, everyMs: lookMs },
  )
  return { ...known, ...watched, failure }
}

/** What makes the machine boot its previous version, and stay with it. Throws BOOT_PREVIOUS_REFUSED where it is not for it. */
export function planBootPrevious(cluster: Cluster, observed: ObservedHang): BootChange[] {
  const { name, address, state, uefi, answers, failure, hasConsole, isWriting } = observed
  const refused = (because: string, hint: string): Problem =>
    new Problem('BOOT_PREVIOUS_REFUSED', `${name} was not reset`, {
      because,
      now: 'nothing was changed',
      hint,
    })
  if (state !== 'running')
    throw refused(
      state === undefined ? `there is no machine ${name}` : `it is ${state}`,
      commandFor(cluster, state === undefined ? 'cluster:up' : 'cluster:start'),
    )
  if (answers)
    throw refused(
      'its Talos API answers',
      `${rollbackCommand(cluster, address)} boots its other version and keeps it (once: a second one turns it back); ${commandFor(cluster, 'cluster:diagnose')} shows what is wrong`,
    )
  if (!hasConsole)
    throw refused(
      'its console log cannot be read on the host, and only it shows the boot menu',
      'allow this login to read /var/log/libvirt/qemu there (root, or sudo without a password), then run the same command again',
    )
  if (failure?.kind === 'reverts')
    throw refused(
      `its boot failed in a way that Talos rolls back by itself: ${failure.line.trim()}`,
      `wait for it to reboot; ${commandFor(cluster, 'cluster:status')} shows the version that it runs`,
    )
  if (isWriting)
    throw refused(
      'its console goes on: it is still booting',
      `wait until it answers or its console stops, then run the same command again`,
    )
  if (!uefi)
    throw refused(
      'it boots by BIOS, with GRUB, whose menu shows on no serial console',
      `choose the other entry on its screen: virsh reset ${name}, then its graphical console within 3 s. Never choose "Reset Talos installation": it deletes the machine's data`,
    )
  const why = failure === undefined ? 'it does not answer' : failure.line.trim()
  return [
    {
      kind: 'boot-previous',
      target: name,
      summary: `Reset ${name} and choose its previous version in the boot menu`,
      from: why,
      to: 'the previous version of Talos',
      risk: 'restart',
    },
    {
      kind: 'keep-previous',
      target: name,
      summary: `Keep the previous version on ${name} (talosctl rollback)`,
      risk: 'restart',
    },
  ]
}
