import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkConfirm, clusterIdFile, Problem, silentLog } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import destroy from '../scripts/destroy.ts'
import removeSeeds from '../scripts/remove-seeds.ts'
import { domainXml, fakeHost, ownCluster, seedLine } from './fake-host.ts'
import { clusterId, pool } from './observed-hosts.ts'

/** Runs a stage of cluster:destroy by itself, on a host with home-cp1, or with its seed ISO alone. */
async function run(stage: typeof destroy, hasMachine: boolean, confirmed: string | undefined) {
  const settings = { WORKER_COUNT: '0', LIBVIRT_URI: 'qemu+ssh://root@kvm1/system' }
  const hosts = JSON.stringify([settings.LIBVIRT_URI])
  const cluster = ownCluster(settings, { [clusterIdFile]: clusterId, 'hosts.json': hosts })
  const seed = seedLine(cluster, clusterId)
  const host = fakeHost({
    domains: hasMachine ? { 'home-cp1': domainXml(cluster, 'home-cp1') } : {},
    files: hasMachine ? [`disk 2048 - ${pool}/home-cp1.qcow2`, seed] : [seed],
    virsh: { domstats: "Domain: 'home-cp1'\n  state.state=5\n" },
  })
  const problem = await stage
    .run({
      ...{ cluster, log: silentLog, dryRun: false, hosts: async () => [host] },
      confirm: (changes: Parameters<typeof checkConfirm>[2]) =>
        checkConfirm(cluster, confirmed, changes),
    } as never)
    .then(
      () => undefined,
      (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
    )
  const removing = host.commands.filter((command) => /^(?:rm|pool_remove) |undefine/m.test(command))
  return { problem, removing, hasRecord: existsSync(join(cluster.generated, 'hosts.json')) }
}

for (const [name, stage, hasMachine, removes] of [
  ['vm:destroy', destroy, true, 'undefine home-cp1'],
  ['vm:remove-seeds', removeSeeds, false, 'home-cp1-seed.iso'],
] as const) {
  for (const confirmed of [undefined, 'other'])
    test(`${name} by itself removes nothing with CONFIRM=${confirmed ?? '(not set)'}`, async () => {
      const { problem, removing, hasRecord } = await run(stage, hasMachine, confirmed)
      assert.is(problem?.code, 'CONFIRM_MISSING')
      assert.equal([removing, hasRecord], [[], true])
    })

  test(`${name} by itself removes what is there with CONFIRM`, async () => {
    const { problem, removing } = await run(stage, hasMachine, 'home')
    assert.is(problem, undefined)
    assert.match(removing.join('\n'), removes)
  })
}

test.run()
