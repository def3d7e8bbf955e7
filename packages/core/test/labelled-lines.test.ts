import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseLabelledLines, splitFields } from '../src/labelled-lines.ts'

const report = parseLabelledLines('kvm\nfree 12\nmissing xz\nmissing zstd\nnf \n\n')

test('a label returns its values in order, none when it is absent', () => {
  assert.equal(report.all('missing'), ['xz', 'zstd'])
  assert.is(report.first('free'), '12')
  assert.is(report.first('memory'), undefined)
  assert.equal(report.all('memory'), [])
})

test('a label alone is a true fact; a longer label does not match', () => {
  assert.ok(report.has('kvm'))
  assert.not(report.has('kv'))
  assert.not(report.has('miss'))
  assert.is(report.first('nf'), '')
})

test('the last field may contain spaces, and a field may be empty', () => {
  assert.equal(splitFields('1 a /my pool/x  y', 3), ['1', 'a', '/my pool/x  y'])
  assert.equal(splitFields('1  /x', 3), ['1', '', '/x'])
  assert.equal(splitFields('1', 3), ['1'])
})

test.run()
