/** Resets a machine and chooses the entry of its previous version in systemd-boot's menu, by virsh send-key. */
import {
  consoleSince,
  consoleSize,
  minute,
  Problem,
  virsh,
  waitFor,
  type Host,
  type Log,
} from '@talosmith/core'
import {
  nextKey,
  previousEntry,
  readBootMenu,
  titlesOf,
  type BootMenu,
  type MenuEntry,
  type MenuKey,
} from './boot-menu.ts'

/** From the reset until the menu shows: the firmware's own start, which takes a minute under emulation. */
const menuMs = 3 * minute
const lookMs = 500
/** A key moves the highlight within a fraction of a second; after so many looks without that, it has no effect. */
const looksPerKey = 20
/** Enter waits for so many looks after the last key, in case the highlight moves again. */
const looksBeforeEnter = 6

/**
 * Resets the machine, and chooses the other version than its default in the boot menu. Returns the entry. Enter is sent
 * only once the console shows that this entry is highlighted. Throws BOOT_MENU_UNKNOWN without it; the machine then
 * boots its default version again, or waits in its menu.
 */
export async function choosePrevious(host: Host, name: string, log: Log): Promise<MenuEntry> {
  const size = await consoleSize(host, name)
  await virsh(host, 'reset', name)
  let chosen: MenuEntry | undefined
  let sent: { readonly from: number; looks: number } | undefined
  const press = async (key: MenuKey, menu: BootMenu): Promise<void> => {
    sent = { from: menu.highlighted.row, looks: 0 }
    await virsh(host, 'send-key', name, '--codeset', 'linux', key)
  }
  return waitFor(
    `the boot menu of ${name}`,
    async () => {
      const menu = readBootMenu(await consoleSince(host, name, size))
      if (menu === undefined) throw new Error('its console does not show the menu')
      if (chosen === undefined) {
        const found = previousEntry(menu)
        if ('reason' in found)
          throw unknownMenu(name, host, `${found.reason}: ${titlesOf(menu.entries)}`)
        chosen = found
      }
      const looks = sent === undefined ? looksBeforeEnter : ++sent.looks
      if (menu.highlighted.row === sent?.from) {
        // A second one would leave one on its way, which could move the highlight right before Enter.
        if (looks >= looksPerKey)
          throw unknownMenu(
            name,
            host,
            `the highlight does not move by a key: ${titlesOf(menu.entries)}`,
          )
        throw new Error('a key was sent')
      }
      const key = nextKey(menu, chosen)
      if (key === undefined || (key === 'KEY_ENTER' && looks < looksBeforeEnter))
        throw new Error(`"${menu.highlighted.title}" is highlighted`)
      await press(key, menu)
      if (key === 'KEY_ENTER') return chosen
      throw new Error(`choosing "${chosen.title}"`)
    },
    { log, withinMs: menuMs, everyMs: lookMs },
  ).catch((error: unknown) => {
    if (!(error instanceof Problem) || error.code !== 'WAIT_TIMED_OUT') throw error
    throw unknownMenu(name, host, error.because ?? error.message)
  })
}

function unknownMenu(name: string, host: Host, because: string): Problem {
  return new Problem('BOOT_MENU_UNKNOWN', `no previous version was chosen on ${name}`, {
    because,
    now: `${name} was reset and boots its default version again, or waits in its boot menu; nothing else was changed`,
    hint: `choose it by hand: on ${host.name} run virsh reset ${name}, then virsh console ${name}, and choose the older version in the menu, which shows for 5 to 10 s. Never choose "Reset to maintenance mode": it deletes the machine's data`,
  })
}
