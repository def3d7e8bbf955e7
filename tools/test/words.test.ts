import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findWords, kebab } from '../checks/find-words.ts'
import { unwantedWords } from '../checks/word-list.ts'

const path = 'packages/core/src/some-file.ts'
const found = (contents: string, file = path): string[] =>
  findWords(file, contents).map(({ rule, line, text }) => `${line} ${rule.word}: ${text}`)

test('an identifier is read word by word, however it is written', () => {
  assert.equal(['lastWords', 'LAST_WORDS', 'LastWords', 'NFSServer'].map(kebab), [
    'last-words',
    'last-words',
    'last-words',
    'nfs-server',
  ])
  assert.equal(found('const lastWords = seenExactly(HOPELESS_ERROR)'), [
    '1 seen: seenExactly',
    '1 cannot come true: HOPELESS_ERROR',
    '1 last words: lastWords',
  ])
})

test('a word inside of another is left alone', () => {
  assert.equal(
    found('const unforeseen = [homepage, amended, aviator, investigates, straylight]'),
    [],
  )
})

test('prose is comments and strings, with the parts of templates around their values', () => {
  const text = [
    '/** Waits until it comes',
    ' * true. */',
    "const a = 'nobody' + `${seen} goes back`",
    '// its way out',
    'const pattern = /in vain/',
  ].join('\n')
  assert.equal(found(text), [
    '1 cannot come true: comes true',
    '3 seen: seen',
    '3 goes back: goes back',
    '4 way out: way out',
  ])
})

test('a comment begins neither in a string nor in a pattern', () => {
  assert.equal(found("const url = 'https://a.b/'; const says = /\\/\\/ mend/"), ['1 said: says'])
})

test('the name of a file counts, as line 0', () => {
  assert.equal(found('', 'packages/vm/src/strays.ts'), ['0 stray: strays.ts'])
})

test('names and prose of Go', () => {
  const text = 'package a\n\n// anybody may\nvar asked = "a" // says `mend`\nvar raw = `stray`\n'
  assert.equal(found(text, 'lab/tools/a.go'), [
    '3 nobody: anybody',
    '4 asked: asked',
    '4 said: says',
    '4 mend: mend',
    '5 stray: stray',
  ])
})

test('documents are prose from end to end, over line ends as well', () => {
  assert.equal(found('The machine takes\n> it away, for good.\n', 'docs/a.md'), [
    '1 take away: takes it away',
    '2 take away: for good',
  ])
})

for (const right of [
  'CLUSTER=home npx nx run cluster:up # home-cp1 of a home lab, in $HOME',
  '--feature-gates=A=true, a safety gate, UPGRADE_GATE_COMMAND',
  'ended by SIGSEGV, a segmentation fault; page faults; fault tolerance',
  'a snapshot of etcd, talosctl etcd snapshot, FINAL_SNAPSHOT, a libvirt snapshot',
  'chown nobody:nogroup, mapped to nobody',
  'a question mark, marked as unschedulable, marks it as done',
  'who says?',
  'for good reason',
])
  test(`right as it is: ${right}`, () => {
    assert.equal(found(right, 'docs/a.md'), [])
    assert.equal(found(`// ${right}`), [])
  })

test('names that stand for something else are right where they do', () => {
  assert.equal(found('const home = user.home', 'packages/core/src/host/ssh-config.ts'), [])
  assert.equal(found('const home = observeHome()', 'packages/bootstrap/src/a.ts').length, 2)
  assert.equal(found('const fault = nextFault()', 'lab/src/factory/server.ts'), [])
  assert.equal(found('const xdg = XDG_CACHE_HOME + highWaterMark'), [])
})

test('every word has a pattern that starts afresh in each file, and what to write instead', () => {
  for (const { word, instead, names, prose, except = [] } of unwantedWords) {
    assert.ok(instead.length > 0 && (names ?? prose), word)
    for (const pattern of [names, prose, ...except]) assert.ok(pattern?.global ?? true, word)
  }
})

test.run()
