/** Tables of what is diagnosed, and of what is not. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses } from '../../diagnose/find.ts'
import { cluster, codes, observedWith, type Parts } from './observed-cluster.ts'

/** Tests that each problem has these diagnoses, with evidence, and a remedy that names the host of its commands. */
export function testDiagnosed(
  problems: readonly (readonly [title: string, parts: Parts, expected: readonly string[]])[],
): void {
  for (const [title, parts, expected] of problems)
    test(`${title} is diagnosed, with evidence and a remedy`, () => {
      const { diagnoses } = findCauses(cluster, observedWith(parts))
      assert.equal(codes(parts), expected)
      for (const { evidence, remedy, cause, code } of diagnoses) {
        assert.ok(evidence.length > 0, `${code} has no evidence`)
        assert.ok(remedy.length > 0, `${code} has no remedy`)
        assert.not.match([cause, ...evidence, ...remedy].join(' '), /undefined|\[object/)
        refuteUnnamedHost(title, code, remedy)
      }
    })
}

/** Commands for a KVM host follow a line that names it. */
function refuteUnnamedHost(title: string, code: string, remedy: readonly string[]): void {
  remedy.forEach((line, index) => {
    if (!/\bvirsh (?!-c)/.test(line)) return
    assert.match(
      remedy.slice(0, index).join('\n'),
      /(?:^|\n)# on root@kvm1(?:\n#.*)*$/,
      `${title}: ${code}`,
    )
  })
}

/** Tests that these states have no diagnosis: they are well, or end by themselves. */
export function testNotDiagnosed(
  states: readonly (readonly [title: string, parts: Parts])[],
): void {
  for (const [title, parts] of states)
    test(`no diagnosis for ${title}`, () => {
      assert.equal(
        codes(parts).filter((code) => !code.startsWith('MACHINE_MISSING')),
        [],
      )
    })
}
