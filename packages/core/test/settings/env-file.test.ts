import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readEnvFile } from '../../src/settings/env-file.ts'

const accepted: [string, string, Record<string, string>][] = [
  ['nothing', '', {}],
  ['blank lines and comments', '\n  \n# a comment\n\t# another, with KEY=1\n', {}],
  ['a value', 'CLUSTER_NAME=home\n', { CLUSTER_NAME: 'home' }],
  ['no line break at the end', 'CLUSTER_NAME=home', { CLUSTER_NAME: 'home' }],
  ['an empty value', 'NFS_SERVER=\nNFS_SHARE= # none\n', { NFS_SERVER: '', NFS_SHARE: '' }],
  ['export', 'export CLUSTER_NAME=home\n', { CLUSTER_NAME: 'home' }],
  ['spaces around the sign', ' CLUSTER_NAME = home \n', { CLUSTER_NAME: 'home' }],
  ['a comment after the value', 'CLUSTER_NAME=home # mine #1\n', { CLUSTER_NAME: 'home' }],
  ['quotes', `A="x y" # c\nB='x "y" # z'\n`, { A: 'x y', B: 'x "y" # z' }],
  ['quotes inside a value', `A=test "$x" = "y"\n`, { A: 'test "$x" = "y"' }],
  ['a backslash', `A=a\\nb\nB='a\\nb'\n`, { A: 'a\\nb', B: 'a\\nb' }],
  ['an equals sign in the value', 'A=ip=10.0.0.1:x\n', { A: 'ip=10.0.0.1:x' }],
  ['a byte order mark', '\uFEFFCLUSTER_NAME=home\n', { CLUSTER_NAME: 'home' }],
  ["Windows' line breaks", 'A=1\r\n# c\r\nB=2\r\n', { A: '1', B: '2' }],
  ['tabs', '\tA=1\t# c\n', { A: '1' }],
]
for (const [title, text, values] of accepted)
  test(`${title} is read`, () => {
    const file = readEnvFile(text)
    assert.equal(file.errors, [])
    assert.equal(Object.fromEntries(file.values), values)
  })

test('keys have the numbers of their lines', () => {
  const { lines } = readEnvFile('# one\nA=1\n\nexport B=2\n')
  assert.equal(Object.fromEntries(lines), { A: 2, B: 4 })
})

const refused: [string, string, string, number, RegExp][] = [
  ['a key twice after a byte order mark', '\uFEFFA=1\nA=2\n', 'A', 2, /on lines 1 and 2/],
  ['a key twice with a colon', 'WORKER_COUNT=1\nWORKER_COUNT: 2\n', 'WORKER_COUNT', 2, /belongs/],
  ['a line between carriage returns', 'A=1\rnonsense\rB=2\r', 'nonsense', 2, /no "="/],
  ['an empty key', '="1"\n', 'line 1', 1, /neither blank/],
  ['a quote that ends on a later line', 'A="1\nB=2\nC=3"\n', 'A', 1, /open quote/],
  ['a value on the next line', 'A=\n"x"\n', 'line 2', 2, /neither blank/],
]
for (const [title, text, name, line, words] of refused)
  test(`${title} is an error`, () => {
    const { errors } = readEnvFile(text)
    const [error] = errors
    assert.is(error?.name, name)
    assert.is(error?.line, line)
    assert.match(error?.text ?? '', words)
  })

test('an open quote swallows no line', () => {
  const { values, errors } = readEnvFile('A="1\nB=2\nC="3"\n')
  assert.equal(Object.fromEntries(values), { B: '2', C: '3' })
  assert.is(errors.length, 1)
})

test('no error repeats a value', () => {
  const secret = 'hidden-value'
  for (const text of [
    `A ${secret}`,
    `A: ${secret}`,
    `A="${secret}`,
    `A=${secret}#1`,
    `A="${secret}" x`,
    `A=\u00a0${secret}`,
  ])
    for (const { text: words } of readEnvFile(text).errors) assert.not.match(words, secret)
})

test.run()
