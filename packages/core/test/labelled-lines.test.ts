import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseLabelledLines, splitFields } from '../src/labelled-lines.ts'

const report = parseLabelledLines('kvm\nfree 12\nmissing xz\nmissing zstd\nnf \n\n')

test('a label gives its values in order, none when it is not there', () => {
  assert.equal(report.all('missing'), ['xz', 'zstd'])
  assert.is(report.first('free'), '12')
  assert.is(report.first('memory'), undefined)
  assert.equal(report.all('memory'), [])
})

test('a label alone is a fact that holds; one that begins with another is not that one', () => {
  assert.ok(report.has('kvm'))
  assert.not(report.has('kv'))
  assert.not(report.has('miss'))
  assert.is(report.first('nf'), '')
})

test('the last field may hold spaces, and a field may be empty', () => {
  assert.equal(splitFields('1 a /my pool/x  y', 3), ['1', 'a', '/my pool/x  y'])
  assert.equal(splitFields('1  /x', 3), ['1', '', '/x'])
  assert.equal(splitFields('1', 3), ['1'])
})

test.run()
