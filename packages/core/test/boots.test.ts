import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bootFailure } from '../src/boots.ts'

const talos = (text: string): string => `[   12.345678] [talos] ${text}`
const rows: [string, string[], string | undefined][] = [
  ['a boot that is done', [talos('boot sequence: done: 1m3s')], undefined],
  [
    'a failed phase of the boot',
    [
      talos('boot sequence: failed'),
      talos('fatal sequencer error in "boot" sequence: error running phase 5 in boot sequence: x'),
      talos('rebooting in 35 seconds'),
    ],
    'reverts: fatal sequencer error in "boot" sequence: error running phase 5 in boot sequence: x',
  ],
  [
    'a failed phase of initialize',
    [talos('initialize sequence: failed'), talos('error running phase 2 in initialize sequence')],
    'hangs: error running phase 2 in initialize sequence',
  ],
  [
    'an early boot that failed',
    [talos('recovered from: early boot failed')],
    'hangs: recovered from: early boot failed',
  ],
  [
    'a panic, whatever Talos printed before it',
    [talos('boot sequence: failed'), '[ 13.0] Kernel panic - not syncing: Attempted to kill init!'],
    'panics: [ 13.0] Kernel panic - not syncing: Attempted to kill init!',
  ],
  ['a failed reset', [talos('fatal sequencer error in "reset" sequence: x')], undefined],
  ['a failed upgrade', [talos('error running phase 3 in upgrade sequence: x')], undefined],
]
for (const [what, lines, expected] of rows)
  test(`${what} is told as ${expected?.split(':')[0] ?? 'no failure'}`, () => {
    const failure = bootFailure(lines)
    const found = failure && `${failure.kind}: ${failure.line.replace(/^\[ .*\[talos\] /, '')}`
    assert.is(found, expected)
  })

test.run()
