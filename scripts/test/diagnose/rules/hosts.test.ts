import { poolUnreadable, Problem } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses } from '../../../diagnose/find.ts'
import { testDiagnosed } from '../../support/diagnosed.ts'
import { cluster, down, host, observedWith } from '../../support/observed-cluster.ts'

testDiagnosed([
  [
    'an unreachable host',
    { more: { hosts: [down('no route')], evidence: [down('no route')] } },
    ['HOST_SILENT qemu:///system'],
  ],
  ['a full pool', { host: { poolFreeBytes: 0 } }, ['POOL_FULL root@kvm1']],
  [
    'a pool whose folder is gone',
    {
      host: {
        poolFreeBytes: 0,
        poolProblem: poolUnreadable(
          { pool: 'default', folder: '/pool', host: 'root@kvm1' },
          'df: /pool/.: No such file or directory',
        ),
      },
    },
    ['POOL_UNREADABLE root@kvm1'],
  ],
  [
    'no firmware',
    {
      host: {
        hasUefi: false,
        domains: host.domains.map((domain) => ({
          ...domain,
          live: { ...domain.live, state: 'shut off' },
        })),
      },
    },
    ['FIRMWARE_MISSING root@kvm1'],
  ],
  [
    'a pool that is stopped',
    { host: { poolProblem: new Problem('POOL_INACTIVE', 'the pool default is not active') } },
    ['POOL_INACTIVE root@kvm1'],
  ],
])

test('a host that could not be inspected has the remedy of its problem', () => {
  const problem = new Problem('STORAGE_SILENT', 'the pool does not answer', { hint: 'mount it' })
  const hosts = [{ ...down('STORAGE_SILENT'), problem }]
  const more = { hosts, evidence: [down('the host could not be observed')] }
  const [found] = findCauses(cluster, observedWith({ more })).diagnoses
  assert.is(found?.code, 'STORAGE_SILENT')
  assert.equal(found?.remedy, ['# mount it'])
})

test.run()
