import { bootsOf } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testDiagnosed, testNotDiagnosed } from '../../support/diagnosed.ts'
import { boot, booted, codes, starting, w1 } from '../../support/observed-cluster.ts'

const failedBoot = boot(
  '[  211.1] [talos] boot sequence: failed',
  '[  211.2] [talos] fatal sequencer error in "boot" sequence: error running phase 5 in boot sequence: kubelet not up',
  '[  211.4] rebooting',
)

testDiagnosed([
  [
    'a CPU below x86-64-v2',
    {
      evidence: {
        [w1]: { console: boot('x86_64 microarchitecture level 2 or higher is required, halting') },
      },
      probes: { [w1]: 'silent' },
    },
    [`CPU_LEVEL_TOO_LOW ${w1}`],
  ],
  [
    'a disk without a bootable system',
    {
      evidence: { [w1]: { console: ['BdsDxe: No bootable option or device was found.'] } },
      probes: { [w1]: 'silent' },
    },
    [`NO_BOOT_DISK ${w1}`],
  ],
  [
    'a panic',
    {
      evidence: { [w1]: { console: boot('[ 3.1] Kernel panic - not syncing: VFS') } },
      probes: { [w1]: 'silent' },
    },
    [`KERNEL_PANIC ${w1}`],
  ],
  [
    'a boot that hangs in the initialize sequence',
    {
      evidence: { [w1]: { console: boot('[ 3.1] [talos] initialize sequence: failed') } },
      probes: { [w1]: 'silent' },
    },
    [`BOOT_HANGS ${w1}`],
  ],
  [
    'a machine that waits for its seed ISO for ever',
    {
      evidence: {
        [w1]: { console: boot('[  3.8] [talos] downloading config {}'), consoleQuietS: 200 },
      },
      probes: { [w1]: 'silent' },
    },
    [`SEED_STALLED ${w1}`],
  ],
  [
    'two failed boots in a row',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...boot()] } },
      talos: { [w1]: starting },
    },
    [`BOOT_LOOP ${w1}`],
  ],
])

testNotDiagnosed([
  [
    'a machine that boots again after one failed boot',
    { evidence: { [w1]: { console: [...failedBoot, ...boot()] } }, talos: { [w1]: starting } },
  ],
  [
    'a machine that reads its seed ISO',
    {
      evidence: {
        [w1]: {
          console: boot('[  3.8] [talos] downloading config {}'),
          consoleQuietS: 20,
          opens: false,
        },
      },
      probes: { [w1]: 'silent' },
    },
  ],
  [
    'old failures on the console of a healthy machine',
    { evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted] } } },
  ],
  [
    'two failed boots with a successful one after them',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted, ...boot()] } },
      talos: { [w1]: starting },
    },
  ],
  [
    'two failed boots before a successful one, while the machine is not ready yet',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted] } },
      talos: { [w1]: starting },
    },
  ],
])

test('a console is split into boots', () => {
  assert.equal(
    bootsOf(['a', ...boot('b'), ...boot('c')]).map((lines) => lines.at(-1)),
    ['a', 'b', 'c'],
  )
  assert.equal(bootsOf([]), [])
})

test('a boot of a quiet kernel is recognized by its timestamps', () => {
  const quiet = ['[    7.1] a', '[    7.0] b', 'c', '[   45.9] d', 'firmware', '[    6.9] e', 'f']
  assert.equal(
    bootsOf(quiet).map((lines) => lines.at(-1)),
    ['firmware', 'f'],
  )
  const failedBoot = [
    '[    7.1] loading',
    '[   10.9] [talos] fatal sequencer error in "boot" sequence: error running phase 3 in boot sequence: mounting EPHEMERAL: invalid argument',
  ]
  const console = [...booted, ...failedBoot, ...failedBoot]
  assert.equal(codes({ evidence: { 'home-w1': { console } }, probes: { 'home-w1': 'silent' } }), [
    'BOOT_LOOP home-w1',
  ])
})

test.run()
