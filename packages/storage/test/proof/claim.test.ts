import { silentLog } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { awaitBound, inspectVolume } from '../../src/proof/claim.ts'
import { fakeApi } from '../support/fake-api.ts'

const nfs = { server: '10.0.0.5', share: '/srv/appdata/' }
const wait = { nfs, log: silentLog, withinMs: 60_000 }
/** Time is up at the first look; what waits add for a last one is over, too. */
const late = { ...wait, withinMs: -3000 }

const claim = (phase: string): Kinds => ({
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'proof' },
  spec: phase === 'Bound' ? { volumeName: 'pvc-1' } : {},
  status: { phase },
})
const warning = (message: string): Kinds => ({
  kind: 'Event',
  metadata: { name: 'proof.1' },
  involvedObject: { kind: 'PersistentVolumeClaim', name: 'proof' },
  type: 'Warning',
  reason: 'ProvisioningFailed',
  message,
})
/** Answers each look at pods, events and claims with the next list, and the last one from then on. */
function looks(...lists: Kinds[][]): { kubernetes: Kubernetes; count: () => number } {
  let rounds = 0
  const { kubernetes } = fakeApi((path) => {
    if (path.includes('/persistentvolumes/')) return lists[0]?.[0]
    if (path.endsWith('/pods')) rounds++
    const now = lists[Math.min(Math.max(rounds, 1), lists.length) - 1] ?? []
    const kind = path.endsWith('/events') ? 'Event' : 'PersistentVolumeClaim'
    return path.endsWith('/pods') ? [] : now.filter((one) => one.kind === kind)
  })
  return { kubernetes, count: () => rounds }
}

interface Kinds {
  readonly kind: string
  readonly [field: string]: unknown
}
const deadline = 'rpc error: code = DeadlineExceeded desc = context deadline exceeded'

test('a try that ran out of time does not end the wait: the provisioner tries again', async () => {
  const { kubernetes } = looks(
    [claim('Pending'), warning(deadline)],
    [claim('Bound'), warning(deadline)],
  )
  assert.is(await awaitBound(kubernetes, 'ns', wait), 'pvc-1')
})

test('the same is the named cause when time is up', async () => {
  const { kubernetes } = looks([claim('Pending'), warning(deadline)])
  const problem = await problemOf(awaitBound(kubernetes, 'ns', late))
  assert.is(problem.code, 'NFS_NO_ANSWER')
  assert.match(problem.because ?? '', 'DeadlineExceeded')
})

test('a cause that retrying cannot fix ends the wait at once', async () => {
  const { kubernetes, count } = looks([claim('Pending'), warning('mkdir: permission denied')])
  assert.is((await problemOf(awaitBound(kubernetes, 'ns', wait))).code, 'NFS_NOT_WRITABLE')
  assert.is(count(), 1)
})

for (const [warnings, because] of [
  [[], 'Pending'],
  [[warning('the moon is in the wrong phase')], /wrong phase/],
] as const)
  test(`a claim that stays Pending without a known reason is CLAIM_NOT_BOUND: ${because}`, async () => {
    const { kubernetes } = looks([claim('Pending'), ...warnings])
    const problem = await problemOf(awaitBound(kubernetes, 'ns', late))
    assert.is(problem.code, 'CLAIM_NOT_BOUND')
    assert.match(problem.because ?? '', because)
    assert.match(problem.hint ?? '', 'csi-nfs-controller')
  })

const volume = (volumeHandle: string): Kinds => ({
  kind: 'PersistentVolume',
  metadata: { name: 'pvc-1' },
  spec: { csi: { volumeHandle } },
})

test("a volume's sub-directory is in its handle; slashes around the share do not count", async () => {
  const { kubernetes } = looks([volume('10.0.0.5#srv/appdata#ns-proof-pvc-1##')])
  assert.is(await inspectVolume(kubernetes, 'pvc-1', nfs), 'ns-proof-pvc-1')
})

for (const [what, found] of [
  ['another server', [volume('10.0.0.6#srv/appdata#a##')]],
  ['another share', [volume('10.0.0.5#srv/other#a##')]],
  ['no sub-directory', [volume('10.0.0.5#srv/appdata###')]],
  ['no volume', []],
] as const)
  test(`${what} is VOLUME_ELSEWHERE`, async () => {
    const { kubernetes } = looks([...found])
    const problem = await problemOf(inspectVolume(kubernetes, 'pvc-1', nfs))
    assert.is(problem.code, 'VOLUME_ELSEWHERE')
    assert.match(problem.because ?? '', 'its handle is')
  })

test.run()
