import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change } from '../src/change.ts'
import { checkConfirm } from '../src/confirm.ts'
import { problemOf } from '../src/testing/failure.ts'

const changes: readonly Change[] = [
  { kind: 'remove-disk', target: 'w1', summary: 'Remove w1', from: '20 GiB', risk: 'data-loss' },
  { kind: 'remove-seed', target: 'w1', summary: 'Remove its seed ISO', risk: 'none' },
]
const check = async (said: string | undefined, all = changes): Promise<void> =>
  checkConfirm({ name: 'home' }, said, all)

for (const said of [undefined, '', 'true', 'yes', 'other', 'HOME', 'home ', 'home2'])
  test(`CONFIRM=${said ?? '(not set)'} is no word for cluster home`, async () => {
    const problem = await problemOf(check(said))
    assert.is(problem.code, 'CONFIRM_MISSING')
    assert.is(problem.because, 'Remove w1 (20 GiB)\nRemove its seed ISO')
    assert.is(problem.now, 'nothing was changed')
    assert.match(problem.hint ?? '', 'CONFIRM=home')
  })

test('the name of the cluster is its word', () => check('home'))

test('where nothing would go, none is needed', () => check(undefined, []))

test.run()
