import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadCluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { judgeOthers, observeOthers, wasStarted } from '../doctor/other-clusters.ts'

const first = testCluster()
const copy = testCluster({ CLUSTER_NAME: 'trial' })

const judged = (
  cluster: typeof first,
  other: typeof first,
  { exists, isStarted = false }: { exists: boolean; isStarted?: boolean },
): string =>
  judgeOthers(cluster, [{ cluster: other, exists }], { isStarted })
    .map(({ verdict, code, detail, remedy }) => `${verdict} ${code}: ${detail} -> ${remedy}`)
    .join('\n')

test('a copy of the env file of a cluster that exists is refused, and both files are named', () => {
  const found = judged(copy, first, { exists: true })
  assert.match(found, /^fail ADDRESS_TAKEN: 10\.0\.0\.70 is trial-cp1 by CONTROL_PLANE_IP_OFFSET/)
  assert.match(found, /env\/trial\.env.*env\/home\.env.*cluster home exists, also while .* off/)
  assert.match(found, /-> change CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET in env\/trial\.env; /)
  assert.match(found, 'CONFIRM=home CLUSTER=home npx nx run cluster:destroy')
})

test('a cluster that was started is never refused: its copy is to change', () => {
  const found = judged(first, copy, { exists: true, isStarted: true })
  assert.match(found, /^warning ADDRESS_TAKEN: .* -> change .* in env\/trial\.env/)
})

test('a cluster beside an env file that was never used is only warned', () => {
  const found = judged(copy, first, { exists: false })
  assert.match(
    found,
    /^warning ADDRESS_TAKEN: .*only one can be created -> .*; or, if it is not used, move env\/home\.env out of env\//,
  )
})

for (const [what, network, another] of [
  [
    'libvirt networks',
    { NETWORK_BRIDGE: '', NETWORK_NAME: 'default' },
    { NETWORK_NAME: 'storage' },
  ],
  ['bridges', { NETWORK_BRIDGE: 'br0' }, { NETWORK_BRIDGE: 'br1' }],
] as const)
  test(`${what} of two hosts, and two on one host, may be separate`, () => {
    const on = (CLUSTER_NAME: string, host: string, more: Record<string, string> = {}) =>
      testCluster({
        ...{ CLUSTER_NAME, ...network, ...more },
        LIBVIRT_URI: `qemu+ssh://root@${host}/system`,
      })
    const judgedBeside = (other: typeof first): string =>
      judged(on('a', 'kvm1'), other, { exists: true })
    assert.match(judgedBeside(on('b', 'kvm2')), /^warning /)
    assert.match(judgedBeside(on('b', 'kvm1', another)), /^warning /)
    assert.match(judgedBeside(on('b', 'kvm1')), /^fail /)
  })

test('a cluster whose host is gone cannot be destroyed: its env file can be moved away', () => {
  const found = judged(copy, first, { exists: true })
  assert.match(found, 'if its host will not return, move env/home.env out of env/')
})

test('the same MAC prefix alone is MAC_TAKEN', () => {
  const mac = { MAC_PREFIX: '52:54:00:aa:bb' }
  const other = { CLUSTER_NAME: 'b', CONTROL_PLANE_IP_OFFSET: '20', WORKER_IP_OFFSET: '30' }
  const found = judged(testCluster({ ...other, ...mac }), testCluster(mac), { exists: true })
  assert.match(found, /^fail MAC_TAKEN: .* -> change MAC_PREFIX in env\/b\.env/)
})

test('other env files are read; a cluster exists once its machines were created from here', async () => {
  const root = temporaryFolder('others')
  const put = (path: string, text: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  put('package.json', '{"talosmith":{"fallbackCluster":"none"}}')
  for (const name of ['a', 'b', 'c'])
    put(`env/${name}.env`, `CLUSTER_NAME=${name}\nNETWORK_BRIDGE=br0\n`)
  put('env/broken.env', 'CLUSTER_NAME=Not a name\n')
  put('env/example.env', 'CLUSTER_NAME=example\nNETWORK_BRIDGE=br0\n')
  put('generated/b/hosts.json', '["qemu:///system"]')
  const { cluster } = await loadCluster(root, 'a', {})
  const others = await observeOthers(cluster)
  assert.equal(
    others.map(({ cluster: { name }, exists }) => [name, exists]),
    [
      ['b', true],
      ['c', false],
    ],
  )
  assert.not(await wasStarted(cluster))
  put('generated/a/removed/kubeconfig', 'set aside while the secrets are regenerated')
  assert.ok(await wasStarted(cluster))
})

test.run()
