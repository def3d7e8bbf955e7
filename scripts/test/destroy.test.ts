// limit: 300 s
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { problemOf } from '@talosmith/core/testing'
import * as assert from 'uvu/assert'
import { runChain } from './support/chain.ts'
import { confirmed, destroySuite } from './support/destroy-suite.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const destroy = destroySuite('destroying a cluster')

destroy('deletes everything of the cluster, and nothing of others', async ({ made }) => {
  const others = Object.entries(made.everything()).filter(([name]) => !made.ours().includes(name))
  const { lines, answers } = await runChain(made.cluster, confirmed(made))
  assert.equal(made.ours(), [])
  assert.equal(
    Object.entries(made.everything()),
    others.filter(([name]) => name !== 'storageclass'),
  )
  assert.match(answers[0] ?? '', 'Images are kept')
  assert.match(lines.join('\n'), `left alone: ${made.pool}/${made.cluster.name}-w9.qcow2`)
})

destroy(
  "the ID is gone too: another checkout that has it does not own the next cluster's machines",
  async ({ made }) => {
    await runChain(made.cluster, { ...confirmed(made), until: 'vm:remove-seeds' })
    assert.ok(existsSync(join(made.generated, 'cluster-id')))
    await runChain(made.cluster, { ...confirmed(made), only: 'cluster:destroy' })
    assert.not.ok(existsSync(join(made.generated, 'cluster-id')))
  },
)

destroy('a second run does nothing, and needs no CONFIRM', async ({ made }) => {
  await runChain(made.cluster, confirmed(made))
  const before = made.everything()
  const { lines, moments } = await runChain(made.cluster)
  assert.is(moments, 0)
  assert.match(lines.join('\n'), 'nothing of cluster talosmith-test-a to destroy')
  assert.equal(made.everything(), before)
})

destroy('records that the backups that stay are of a destroyed cluster', async ({ made }) => {
  const backup = join(made.generated, 'backups/etcd-1.db')
  mkdirSync(join(backup, '..'))
  writeFileSync(backup, 'backup')
  await runChain(made.cluster, confirmed(made))
  const record = join(made.generated, 'destroyed.json')
  assert.match(readFileSync(record, 'utf8'), 'backups/etcd-1.db')
  assert.is(statSync(record).mode & 0o777, 0o600)
  assert.is((await runChain(made.cluster)).moments, 0)
  // A cluster that was destroyed before there was such a record.
  rmSync(record)
  assert.is((await problemOf(runChain(made.cluster))).code, 'CONFIRM_MISSING')
  assert.not.ok(existsSync(record))
  await runChain(made.cluster, confirmed(made))
  assert.ok(existsSync(record))
  assert.is(readFileSync(backup, 'utf8'), 'backup')
})

destroy('killed at any moment and run again, has the same result', async ({ made }) => {
  const { moments } = await runChain(made.cluster, confirmed(made))
  const end = made.everything()
  assert.ok(moments >= 40, `only ${moments} moments`)
  for (let killAt = 1; killAt <= moments; killAt += 1) {
    const again = await makeCluster()
    try {
      process.env['PATH'] = `${again.path('bin')}:${process.env['PATH']}`
      process.env['XDG_CACHE_HOME'] = again.path('cache')
      const { killed } = await runChain(again.cluster, { ...confirmed(again), killAt })
      assert.ok(killed, `not killed at ${killAt}`)
      await runChain(again.cluster, confirmed(again))
      assert.equal(Object.keys(again.everything()), Object.keys(end), `killed at ${killAt}`)
    } finally {
      again.close()
    }
  }
})

destroy(
  'access files and secrets are kept aside until the last seed ISO is deleted',
  async ({ made }) => {
    await runChain(made.cluster, { ...confirmed(made), until: 'vm:remove-seeds' })
    const kept = (name: string): string => join(made.generated, 'removed', name)
    for (const name of [
      'kubeconfig',
      'talosconfig',
      'secrets.yaml',
      'configs/talosmith-test-a-cp1.yaml',
    ])
      assert.is(statSync(kept(name)).mode & 0o777, 0o600, name)
    assert.is(statSync(kept('')).mode & 0o777, 0o700)
    assert.not.ok(
      Object.keys(made.everything()).some((name) => name.endsWith('test-a/secrets.yaml')),
    )
  },
)

destroy('files kept aside are never overwritten by newer ones', async ({ made }) => {
  await runChain(made.cluster, { ...confirmed(made), until: 'bootstrap:remove-config' })
  writeFileSync(join(made.generated, 'secrets.yaml'), 'new secrets')
  await runChain(made.cluster, { ...confirmed(made), until: 'bootstrap:remove-config' })
  const all = made.everything()
  const folder = `generated/${made.cluster.name}/removed`
  assert.is(all[`${folder}/secrets.yaml`], `secrets.yaml of ${made.cluster.name}`)
  assert.is(all[`${folder}/secrets.yaml.2`], 'new secrets')
})

destroy('the last stage keeps the files set aside while a machine is left', async ({ made }) => {
  const domain = made.path('domains/talosmith-test-a-w2')
  renameSync(domain, made.path('hidden'))
  await runChain(made.cluster, { ...confirmed(made), until: 'vm:remove-seeds' })
  renameSync(made.path('hidden'), domain)
  const problem = await problemOf(
    runChain(made.cluster, { ...confirmed(made), only: 'cluster:destroy' }),
  )
  assert.is(problem.code, 'DESTROY_UNFINISHED')
  assert.match(problem.because ?? '', 'talosmith-test-a-w2')
  assert.ok(Object.keys(made.everything()).some((name) => name.endsWith('removed/secrets.yaml')))
})

const halfDead: [string, (made: Made) => void][] = [
  ['whose API is down', (made) => void (made.api.isDown = true)],
  ['whose pool is stopped', (made) => made.set('pool-state', 'inactive')],
  [
    'whose host was rebooted',
    (made) => {
      for (const { name } of made.cluster.nodes)
        writeFileSync(made.path(`domains/${name}/state`), 'shut off\n')
    },
  ],
  [
    'whose domains are gone',
    (made) => {
      for (const { name } of made.cluster.nodes) {
        rmSync(made.path(`domains/${name}`), { recursive: true })
        rmSync(join(made.pool, `${name}.qcow2`))
      }
    },
  ],
  [
    'whose secrets are gone',
    (made) => {
      for (const name of ['secrets.yaml', 'talosconfig', 'kubeconfig', 'configs'])
        rmSync(join(made.generated, name), { recursive: true })
    },
  ],
  [
    'with a temporary file left by a killed write',
    (made) => writeFileSync(join(made.generated, 'secrets.yaml.0f8fad5b-d9cb-469f.tmp'), 'secret'),
  ],
]
for (const [which, harm] of halfDead)
  destroy(`destroys a cluster ${which}`, async ({ made }) => {
    harm(made)
    await runChain(made.cluster, confirmed(made))
    assert.equal(made.ours(), [])
  })

destroy(
  'when the API is down, logs that storage is deleted with the machines',
  async ({ made }) => {
    made.api.isDown = true
    const { lines } = await runChain(made.cluster, confirmed(made))
    assert.match(lines.join('\n'), 'is deleted with its machines; the data on the NFS server stays')
  },
)

destroy('the record of an interrupted regeneration is deleted too', async ({ made }) => {
  const note = join(made.generated, 'regenerating.json')
  writeFileSync(note, '{"archive":"archive/old","machinesAreNew":true}')
  await runChain(made.cluster, confirmed(made))
  assert.equal(made.ours(), [])
})

destroy('seed ISOs are deleted also after SEED_ISO_DIR has changed', async ({ made }) => {
  mkdirSync(made.path('isos'))
  const settings = { ...made.cluster.settings, SEED_ISO_DIR: made.path('isos') }
  const problem = await problemOf(runChain({ ...made.cluster, settings }))
  const listed = (problem.because ?? '').match(/-seed\.iso/g) ?? []
  assert.is(listed.length, made.cluster.nodes.length)
  await runChain({ ...made.cluster, settings }, confirmed(made))
  assert.equal(made.ours(), [])
})

destroy.run()
