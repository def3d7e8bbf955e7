import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { elementsAt, parseXml, textAt } from '../src/xml.ts'

test('one element and several are read the same way', () => {
  for (const count of [0, 1, 3]) {
    const document = parseXml(`<net>${"<ip address='10.0.0.1'/>".repeat(count)}</net>`)
    assert.is(elementsAt(document, 'net', 'ip').length, count)
  }
})

test('text is found with and without attributes, and stays text', () => {
  const document = parseXml("<pool type='dir'><size unit='B'>007</size><path>1.0</path></pool>")
  assert.is(textAt(document, 'pool', 'size'), '007')
  assert.is(textAt(document, 'pool', 'path'), '1.0')
  assert.is(textAt(document, 'pool', '@type'), 'dir')
})

test('character references are decoded, by name and by number', () => {
  const document = parseXml("<v a='it&apos;s &#65;&#x42;'>a &lt; b &amp; c&#39;</v>")
  assert.is(textAt(document, 'v', '@a'), "it's AB")
  assert.is(textAt(document, 'v'), "a < b & c'")
})

test('missing values are undefined, also in an empty text', () => {
  for (const xml of ['', '<a/>', '<a>text</a>', '<a><b><c/></b><b/></a>']) {
    assert.is(textAt(parseXml(xml), 'a', 'b', '@x'), undefined)
    assert.equal(elementsAt(parseXml(xml), 'a', 'x', 'y'), [])
  }
})

test.run()
