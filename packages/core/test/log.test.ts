import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, inStep } from '../src/log.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

/** A stream that records what is written to it. */
function screen(isTTY: boolean) {
  let raw = ''
  const stream = { isTTY, columns: 20, write: (text: string) => ((raw += text), true) }
  return {
    stream: stream as unknown as NodeJS.WriteStream,
    raw: () => raw,
    lines: () => stripVTControlCharacters(raw).trimEnd().split('\n'),
  }
}

test('each kind of line has its own symbol, the end of a step has its seconds', () => {
  const { stream, lines } = screen(false)
  const log = createLog({ stream })
  log.step('define w1').done()
  log.step('start w1').fail('w1 does not start')
  log.already('w2 runs')
  log.warn('memory is short')
  log.info('   waiting')
  assert.equal(
    lines().map((line) => line.replace(/\d+\.\d s/, 'N s')),
    [
      ' • define w1',
      ' ✓ define w1 (N s)',
      ' • start w1',
      ' ✗ w1 does not start (N s)',
      ' - w2 runs',
      ' ! memory is short',
      '   waiting',
    ],
  )
})

test('progress is one line of a terminal, cut to its width, and the next line overwrites it', () => {
  const { stream, raw } = screen(true)
  const step = createLog({ stream }).step('download')
  const before = raw().length
  step.progress('123 MiB of 456 MiB, 12 MiB/s, 30 s left')
  const shown = raw().slice(before)
  assert.not.match(shown, '\n')
  assert.is(stripVTControlCharacters(shown).replace('\r', '').length, 20)
  step.done()
  assert.match(raw().slice(before + shown.length), /^\r\x1b\[2K/)
})

test('a full disk ends the run record, not the run', () => {
  const { stream, lines } = screen(false)
  const log = createLog({ stream, record: () => '/dev/full' })
  log.info('one')
  log.step('two').done()
  log.event('problem', { code: 'X' })
  const warnings = lines().filter((line) => line.includes('not recorded'))
  assert.is(warnings.length, 1)
  assert.match(warnings[0] ?? '', 'ENOSPC')
  assert.match(lines().at(-1) ?? '', '✓ two')
})

test('without a terminal no progress is printed for the first ten seconds', () => {
  const { stream, lines } = screen(false)
  const step = createLog({ stream }).step('download')
  step.progress('1 MiB')
  step.progress('2 MiB')
  assert.equal(lines(), [' • download'])
})

test('the run record has the same as JSON lines, and events that are not printed', () => {
  const folder = temporaryFolder('log')
  const path = join(folder, 'run.jsonl')
  const { stream, raw } = screen(false)
  let record: string | undefined
  const log = createLog({ stream, record: () => record })
  log.info('too early to be kept')
  record = path
  log.step('define w1').done()
  log.waiting('w1 to answer', 'it boots')
  log.event('problem', { code: 'DISK_FULL' })
  const events = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.equal(
    events.map(({ event }) => event),
    ['start', 'done', 'waiting', 'problem'],
  )
  assert.type(events[1]?.['seconds'], 'number')
  assert.match(String(events[0]?.['at']), /^\d{4}-\d\d-\d\dT/)
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.not.match(raw(), 'DISK_FULL')
  assert.not.match(raw(), 'it boots')
})

test('a step whose work returns is done, and its result is returned', async () => {
  const { stream, lines } = screen(false)
  const result = await inStep(createLog({ stream }), 'define w1', async (step) => {
    assert.equal(lines(), [' • define w1'])
    step.progress('shown after ten seconds')
    return 7
  })
  assert.is(result, 7)
  assert.match(lines()[1] ?? '', /^ ✓ define w1 \(\d+\.\d s\)$/)
  assert.is(lines().length, 2)
})

test('a step whose work throws has failed, and its error is passed on', async () => {
  const { stream, lines } = screen(false)
  const error = new Error('no space')
  const work = (): Promise<never> => Promise.reject(error)
  const thrown = await inStep(createLog({ stream }), 'define w1', work).catch((e: unknown) => e)
  assert.is(thrown, error)
  assert.match(lines()[1] ?? '', /^ ✗ define w1 \(\d+\.\d s\)$/)
  assert.is(lines().length, 2)
})

test.run()
