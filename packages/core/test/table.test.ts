import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { renderTable } from '../src/table.ts'

test('columns are as wide as their widest cell, and no line ends with spaces', () => {
  assert.is(
    renderTable([
      ['NAME', 'STATE', ''],
      ['home-cp1', 'on', 'note'],
      ['x', 'off', ''],
    ]),
    'NAME      STATE\nhome-cp1  on     note\nx         off',
  )
})

test.run()
