import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  nextKey,
  previousEntry,
  readBootMenu,
  entryVersion,
  type BootMenu,
} from '../src/boot-menu.ts'

/**
 * What systemd-boot 252 with OVMF writes to a serial console: four entries named as Talos names its own, then after
 * each of the keys Down, Down and Up. Recorded with QEMU; the menu's order there is by file name.
 */
const recorded = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'fixtures', `${name}.console`), 'latin1')
const keys = [1, 2, 3].map((key) => recorded(`boot-menu-key${key}`))

/** A menu as systemd-boot draws it, with `highlighted` as the index of its default. */
function menuOf(titles: readonly string[], highlighted = 0): string {
  const lines = titles.map((title, index) => {
    const colors = index === highlighted ? '\x1b[0m\x1b[30m\x1b[47m' : '\x1b[0m\x1b[37m\x1b[40m'
    return `${colors}\x1b[${14 + index};26H   ${title}   `
  })
  return `\x1b[2J\x1b[01;01H${lines.join('')}\x1b[0m\x1b[37m\x1b[40m\x1b[20;01H   Boot in 5 s.   `
}
const read = (text: string): BootMenu => {
  const menu = readBootMenu(text)
  assert.ok(menu)
  return menu
}
const reset = (version: string): string => `Talos (${version}) (Reset to maintenance mode)`

test('a recorded menu is read, and the highlight is followed from key to key', () => {
  let text = recorded('boot-menu')
  const titles = read(text).entries.map(({ title }) => title)
  assert.equal(titles, [
    reset('v1.13.9'),
    'Talos (v1.13.9)',
    reset('v1.12.11'),
    'Talos (v1.12.11)',
    'Reboot Into Firmware Interface',
  ])
  const highlighted = [read(text).highlighted.title]
  for (const key of keys) highlighted.push(read((text += key)).highlighted.title)
  assert.equal(highlighted, [titles[0], titles[1], titles[2], titles[1]])
})

test('no part of a recorded menu is taken for another menu', () => {
  const whole = recorded('boot-menu') + keys.join('')
  for (let length = 0; length < whole.length; length++) {
    const menu = readBootMenu(whole.slice(0, length))
    const previous = menu && previousEntry(menu)
    // In this recording the default is the profile that resets: nothing may be chosen, wherever the text ends.
    if (menu?.highlighted.title === reset('v1.13.9')) assert.ok(previous && 'reason' in previous)
    if (menu !== undefined && previous !== undefined && 'title' in previous)
      assert.is.not(nextKey(menu, previous), 'KEY_ENTER')
  }
})

const file = (title: string, name: string): string => `${title} (v1.13.9) (${name})`
const rows: [string, readonly string[], number, string | RegExp][] = [
  [
    'after an upgrade, past both resets',
    ['Talos (v1.13.9)', reset('v1.13.9'), 'Talos (v1.12.11)', reset('v1.12.11'), 'Reboot'],
    0,
    'Talos (v1.12.11)',
  ],
  [
    'upwards, after a downgrade',
    ['Talos (v1.13.9)', reset('v1.13.9'), 'Talos (v1.12.11)', reset('v1.12.11')],
    2,
    'Talos (v1.13.9)',
  ],
  [
    'by file, where only the schematic changed',
    [
      file('Talos (v1.13.9)', 'talos-v1.13.9.efi'),
      file(reset('v1.13.9'), 'talos-v1.13.9.efi@1'),
      file('Talos (v1.13.9)', 'talos-v1.13.9~1.efi'),
      file(reset('v1.13.9'), 'talos-v1.13.9~1.efi@1'),
    ],
    2,
    file('Talos (v1.13.9)', 'talos-v1.13.9.efi'),
  ],
  [
    'a machine that was never upgraded',
    ['Talos (v1.13.9)', reset('v1.13.9')],
    0,
    /no other version/,
  ],
  [
    'a third version',
    ['Talos (v1.13.9)', 'Talos (v1.12.1)', 'Talos (v1.11.6)'],
    0,
    /more than two/,
  ],
  ['another system', ['Fedora Linux 43', 'Talos (v1.13.9)'], 0, /no version of Talos/],
  ['a reset as the default', [reset('v1.13.9'), 'Talos (v1.12.11)'], 0, /no version of Talos/],
]
for (const [what, titles, highlighted, expected] of rows)
  test(`the previous version is found: ${what}`, () => {
    const found = previousEntry(read(menuOf(titles, highlighted)))
    if (typeof expected === 'string')
      assert.is('title' in found ? found.title : found.reason, expected)
    else assert.match('reason' in found ? found.reason : found.title, expected)
  })

test('keys lead to the entry, and Enter is sent for no other one', () => {
  const titles = ['Talos (v1.13.9)', reset('v1.13.9'), 'Talos (v1.12.11)', reset('v1.12.11')]
  const entry = previousEntry(read(menuOf(titles)))
  assert.ok('title' in entry)
  const next = titles.map((_, index) => nextKey(read(menuOf(titles, index)), entry))
  assert.equal(next, ['KEY_DOWN', 'KEY_DOWN', 'KEY_ENTER', 'KEY_UP'])
  assert.is(entryVersion(entry), 'v1.12.11')
  const torn = titles.with(2, 'Talos (v1.12')
  assert.is(nextKey(read(menuOf(torn, 2)), entry), undefined)
})

test('what is no menu of this boot is none', () => {
  const menu = menuOf(['Talos (v1.13.9)', 'Talos (v1.12.11)'])
  for (const text of [
    '',
    'BdsDxe: starting Boot0002\r\n',
    `${menu}\r\n[    0.000000] Linux version 6.18\r\n`,
    `${menu}\x1b[2J\x1b[01;01H`,
    menu.replace(/Boot in.*/, ''),
    menuOf(['Talos (v1.13.9)'], 7),
    '\x1b[2J\x1b[01;01H  GNU GRUB  version 2.12\r\n',
  ])
    assert.is(readBootMenu(text), undefined, JSON.stringify(text.slice(-40)))
})

test('the star before the default entry is no entry', () => {
  const menu = menuOf(['Talos (v1.13.9)', 'Talos (v1.12.11)'])
  assert.equal(read(`${menu}\x1b[14;26H =>`).entries, read(menu).entries)
})

test.run()
