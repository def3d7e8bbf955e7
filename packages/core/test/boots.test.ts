import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bootFailure, seedStall } from '../src/boots.ts'

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

const reads =
  '[    3.862389] [talos] downloading config {"component": "controller-runtime", "controller": "config.AcquireController", "platform": "nocloud"}'
const started = '[    0.000000] Linux version 6.18.0'
const stalls: [string, string[], number, number | undefined][] = [
  ['the seed ISO, nothing printed for long', [started, reads], 300, 300],
  ['the seed ISO, with other lines since', [started, reads, '[  203.9] x'], 10, 210],
  ['the seed ISO for a moment', [started, reads, '[  13.9] x'], 30, undefined],
  ['nothing printed for long, before the seed ISO', [started], 300, undefined],
  ['maintenance mode', [reads, talos('entering maintenance service')], 300, undefined],
  ['a config', [reads, talos('boot sequence: done: 1m3s')], 300, undefined],
  [
    'a seed that is refused',
    [reads, talos('controller failed {"controller": "config.AcquireController"}')],
    300,
    undefined,
  ],
  ['a seed that is read again and again', [reads, reads], 300, undefined],
]
for (const [what, lines, quietS, seconds] of stalls)
  test(`a boot at ${what} ${seconds === undefined ? 'is not stalled' : 'is stalled'}`, () => {
    assert.is(seedStall(lines, quietS)?.seconds, seconds)
  })

test.run()
