import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change } from '../src/change.ts'
import { checkConfirm } from '../src/confirm.ts'
import { problemOf } from '../src/testing/failure.ts'

const changes: readonly Change[] = [
  { kind: 'remove-disk', target: 'w1', summary: 'Remove w1', from: '20 GiB', risk: 'data-loss' },
  { kind: 'remove-seed', target: 'w1', summary: 'Remove its seed ISO', risk: 'none' },
]
const check = async (confirm: string | undefined, all = changes): Promise<void> =>
  checkConfirm({ name: 'home' }, confirm, all)

for (const confirm of [undefined, '', 'true', 'yes', 'other', 'HOME', 'home ', 'home2'])
  test(`CONFIRM=${confirm ?? '(not set)'} does not confirm cluster home`, async () => {
    const problem = await problemOf(check(confirm))
    assert.is(problem.code, 'CONFIRM_MISSING')
    assert.is(problem.because, 'Remove w1 (20 GiB)\nRemove its seed ISO')
    assert.is(problem.now, 'nothing was changed')
    assert.match(problem.hint ?? '', 'CONFIRM=home')
  })

test('the name of the cluster confirms', () => check('home'))

test('needs no confirmation when nothing would be deleted', () => check(undefined, []))

test.run()
