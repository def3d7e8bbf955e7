import { testCluster } from '@talosmith/core/testing'
import { withPlaces } from '@talosmith/vm'
import { emptyHost } from '@talosmith/vm/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { judgeSpread } from '../doctor/judge-spread.ts'

const rows: readonly (readonly [
  hosts: number,
  controlPlanes: number,
  warned: readonly string[],
])[] = [
  [1, 3, []],
  [2, 1, []],
  [2, 3, ['kvm0 has 2 of 3']],
  [3, 3, []],
  [2, 5, ['kvm0 has 3 of 5']],
  [3, 5, []],
]

for (const [count, controlPlanes, warned] of rows)
  test(`${controlPlanes} control planes on ${count} hosts: ${warned.join() || 'no warning'}`, () => {
    const described = testCluster({
      LIBVIRT_URI: Array.from({ length: count }, (_, at) => `qemu+ssh://kvm${at}/system`).join(','),
      CONTROL_PLANE_COUNT: String(controlPlanes),
    })
    const hosts = Array.from({ length: count }, (_, index) =>
      emptyHost(described, { index, host: `kvm${index}` }),
    )
    const checks = judgeSpread(withPlaces(described, hosts), hosts)
    assert.equal(
      checks.map(({ area, detail }) => `${area} ${detail.split(' control')[0]}`),
      [...warned],
    )
    for (const { verdict, detail } of checks) {
      assert.is(verdict, 'warning')
      assert.match(detail, 'when this host is down, etcd has no quorum')
    }
  })

test.run()
