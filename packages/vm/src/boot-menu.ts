/** systemd-boot's menu on a serial console: its entries, and the key that comes next on the way to one. Pure. */

/** One line of the menu. */
export interface MenuEntry {
  readonly row: number
  readonly title: string
}

/** The boot menu as a console shows it. */
export interface BootMenu {
  /** From top to bottom. */
  readonly entries: readonly MenuEntry[]
  readonly highlighted: MenuEntry
}

/** A key in the names of `virsh send-key --codeset linux` (include/uapi/linux/input-event-codes.h). */
export type MenuKey = 'KEY_DOWN' | 'KEY_UP' | 'KEY_ENTER'

/**
 * Entries of Talos itself: `Talos (v1.13.9)`, PRETTY_NAME of its os-release (pkg/machinery/version/os-release). Where
 * two have the same title, systemd-boot adds the version and the file (generate_boot_entry_titles). Everything else is
 * left alone: the image's second profile `Talos (v1.13.9) (Reset to maintenance mode)` (pkg/imager/imager.go) deletes
 * STATE and EPHEMERAL, and stands between the two versions.
 */
const version = /^Talos(?: \((?:v\d[^()\s]*|talos-v[^()\s]*\.efi(?:@0)?)\))+$/i

const countdown = /^Boot in \d+ ?s\.$/
/** Before the entry that Talos made the default: `=>`, or a symbol, drawn over its padding (menu_run). */
const marker = /^(?:=>|[^A-Za-z0-9]{1,3})$/

/**
 * The menu that is on the screen of a console; undefined: none, or it is not drawn to its end yet. systemd-boot
 * positions and colors each line (src/boot/boot.c, menu_run; the highlighted one black on light gray), which the
 * firmware's terminal driver writes as ANSI sequences (EDK2: MdeModulePkg/Universal/Console/TerminalDxe).
 */
export function readBootMenu(console: string): BootMenu | undefined {
  const screen = console.slice(console.lastIndexOf('\x1b[2J'))
  const rows = new Map<number, { title: string; isHighlighted: boolean }>()
  let row = 0
  let isHighlighted = false
  let isComplete = false
  for (const [, values, command, text] of screen.matchAll(
    /\x1b\[([\d;?=]*)([A-Za-z])|([^\x1b]+)/g,
  )) {
    if (command === 'H') row = Number(values?.split(';')[0])
    if (command === 'm')
      for (const value of values?.split(';') ?? []) {
        if (value === '47') isHighlighted = true
        else if (value === '' || value === '0' || /^4\d$/.test(value)) isHighlighted = false
      }
    if (text === undefined) continue
    // What scrolls was not drawn by the menu.
    if (row > 0 && text.includes('\n')) return undefined
    const title = text.trim()
    if (countdown.test(title)) isComplete = true
    if (row === 0 || title === '' || countdown.test(title)) continue
    const known = rows.get(row)
    if (known !== undefined && marker.test(title)) continue
    rows.set(row, { title, isHighlighted })
  }
  const lines = [...rows].sort(([one], [other]) => one - other)
  const entries = lines
    .filter(([, { title }]) => /[A-Za-z]/.test(title))
    .map(([at, { title }]) => ({ row: at, title }))
  const [current, ...others] = entries.filter(({ row: at }) => rows.get(at)?.isHighlighted)
  if (!isComplete || current === undefined || others.length > 0) return undefined
  return { entries, highlighted: current }
}

/** The entry of the other version than the default, which the menu highlights first; or why there is none. */
export function previousEntry({
  entries,
  highlighted,
}: BootMenu): MenuEntry | { readonly reason: string } {
  const versions = entries.filter(({ title }) => version.test(title))
  const [other, ...more] = versions.filter(({ row }) => row !== highlighted.row)
  if (!version.test(highlighted.title))
    return { reason: `the menu's default is "${highlighted.title}", which is no version of Talos` }
  if (other === undefined) return { reason: `the menu has no other version than the default one` }
  if (more.length > 0)
    return { reason: `the menu has more than two versions: ${titlesOf(versions)}` }
  return other
}

/**
 * The key that comes next: towards the entry, and Enter only where the menu shows that this very entry is highlighted;
 * undefined: its title is not drawn to its end yet. Up and Down move by one and stop at the ends; the first key stops
 * the countdown (menu_run).
 */
export function nextKey({ highlighted }: BootMenu, entry: MenuEntry): MenuKey | undefined {
  if (highlighted.row !== entry.row) return highlighted.row < entry.row ? 'KEY_DOWN' : 'KEY_UP'
  return highlighted.title === entry.title ? 'KEY_ENTER' : undefined
}

/** The version in an entry's title: v1.13.9. */
export function entryVersion({ title }: Pick<MenuEntry, 'title'>): string | undefined {
  return /\((v\d[^()\s]*)\)/.exec(title)?.[1]
}

/** Titles as a list for a message. */
export function titlesOf(entries: readonly MenuEntry[]): string {
  return entries.map(({ title }) => `"${title}"`).join(', ')
}
