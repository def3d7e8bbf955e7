import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readBootEntries } from '@talosmith/clients/talos'
import { fakeTalosctl } from '@talosmith/clients/testing'

const [node] = testCluster().nodes
assert.ok(node)
/** A variable as efivarfs shows it: its attributes, then UTF-16 that ends with a zero. */
const variable = (text: string): string =>
  `\x07\0\0\0${Buffer.from(`${text}\0`, 'utf16le').toString('latin1')}`

test("systemd-boot's entries are read from the firmware's variables, without their case", async () => {
  const talosctl = fakeTalosctl((words) =>
    variable(words.includes('LoaderEntryDefault') ? 'Talos-v1.13.9~1.efi' : 'talos-v1.12.11.efi'),
  )
  assert.equal(await readBootEntries(node, talosctl), {
    default: 'talos-v1.13.9~1.efi',
    selected: 'talos-v1.12.11.efi',
  })
})

test('a machine without such variables has no entries', async () => {
  for (const reply of [{ stderr: 'no such file or directory' }, variable('auto-windows')]) {
    let failed = false
    await readBootEntries(
      node,
      fakeTalosctl(() => reply),
    ).catch(() => (failed = true))
    assert.ok(failed)
  }
})

test.run()
