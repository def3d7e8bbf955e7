import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { subjectProblem } from '../checks/commit-subject.js'

for (const subject of [
  'feat(vm): grow a disk in place',
  'fix(bootstrap,storage)!: name the node that health waits for',
  'docs: TALOS_VERSION may be left out',
  '# a comment of git\n\nfix: embed the font\n\nThe why.',
  "Merge branch 'main'",
  'fixup! feat(vm): grow a disk in place',
])
  test(`accepted: ${subject}`, () => {
    assert.is(subjectProblem(subject), undefined)
  })

for (const [subject, problem] of [
  ['# only comments\n', 'empty'],
  [`fix: ${'a'.repeat(68)}`, '73 characters'],
  ['grow a disk in place', 'of the form'],
  ['feature: grow a disk', 'the kinds are'],
  ['feat(vm): Grow a disk in place', 'upper-case'],
  ['feat(vm): grow a disk in place.', 'full stop'],
  ['feat(vm): added a disk', 'imperative'],
  ['feat(vm): growing a disk', 'imperative'],
] as const)
  test(`refused: ${subject}`, () => {
    assert.match(subjectProblem(subject) ?? '', problem)
  })

test.run()
