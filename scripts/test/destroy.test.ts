// limit: 300 s
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planFirstBackup } from '../destroy/confirm.ts'
import { observeRemains } from '../destroy/remains.ts'
import { runChain } from './support/chain.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const destroy = suite<{ made: Made; path: string | undefined; cache: string | undefined }>(
  'destroying a cluster',
)
destroy.before.each(async (context) => {
  context.made = await makeCluster()
  context.path = process.env['PATH']
  context.cache = process.env['XDG_CACHE_HOME']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
  process.env['XDG_CACHE_HOME'] = context.made.path('cache')
})
destroy.after.each(({ made, path, cache }) => {
  process.env['PATH'] = path
  if (cache === undefined) delete process.env['XDG_CACHE_HOME']
  else process.env['XDG_CACHE_HOME'] = cache
  made.close()
})
const nameOf = ({ cluster }: Made): string => cluster.name
const confirmed = (made: Made) => ({ confirm: nameOf(made) })

destroy(
  'without CONFIRM, lists everything to be deleted, with sizes, and changes nothing',
  async ({ made }) => {
    const before = made.everything()
    const problem = await problemOf(runChain(made.cluster))
    assert.is(problem.code, 'CONFIRM_MISSING')
    assert.is(problem.exitCode, 1)
    const list = problem.because ?? ''
    for (const { name } of made.cluster.nodes) {
      assert.match(list, `Remove virtual machine ${name}`)
      assert.match(list, `${made.pool}/${name}.qcow2 (`)
      assert.match(list, `${made.pool}/${name}-seed.iso (34 KiB)`)
      assert.match(list, `configs/${name}.yaml (`)
    }
    for (const thing of [
      ...['nfs-appdata', 'kubeconfig (', 'talosconfig (', 'secrets.yaml ('],
      ...['secrets.owner.json (', 'made-of.json (', 'hosts.json ('],
    ])
      assert.match(list, thing)
    assert.not.match(list, 'bystander')
    assert.not.match(list, 'talosmith-test-b')
    assert.not.match(list, '-w9')
    assert.equal(made.everything(), before)
  },
)

destroy('a CONFIRM that names another cluster does not count', async ({ made }) => {
  const before = made.everything()
  const problem = await problemOf(runChain(made.cluster, { confirm: 'talosmith-test-b' }))
  assert.is(problem.code, 'CONFIRM_MISSING')
  assert.match(problem.hint ?? '', 'CONFIRM=talosmith-test-b is not this cluster')
  assert.equal(made.everything(), before)
})

destroy(
  '--dry-run shows the whole plan in its first stage, and changes nothing',
  async ({ made }) => {
    const before = made.everything()
    const until = 'cluster:confirm-destroy'
    const { answers } = await runChain(made.cluster, { dryRun: true, until, finalSnapshot: true })
    assert.match(answers[0] ?? '', /^\d+ changes:\n {2}\+ Back up etcd and the machine secrets/)
    assert.match(answers[0] ?? '', 'Remove virtual machine')
    assert.equal(made.everything(), before)
  },
)

destroy('deletes everything of the cluster, and nothing of others', async ({ made }) => {
  const others = Object.entries(made.everything()).filter(([name]) => !made.ours().includes(name))
  const { lines, answers } = await runChain(made.cluster, confirmed(made))
  assert.equal(made.ours(), [])
  assert.equal(
    Object.entries(made.everything()),
    others.filter(([name]) => name !== 'storageclass'),
  )
  assert.match(answers[0] ?? '', 'Images are kept')
  assert.match(lines.join('\n'), `left alone: ${made.pool}/${nameOf(made)}-w9.qcow2`)
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
  const folder = `generated/${nameOf(made)}/removed`
  assert.is(all[`${folder}/secrets.yaml`], `secrets.yaml of ${nameOf(made)}`)
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
  assert.match(problem.because ?? '', /^this is only the last stage.*\n.*talosmith-test-a-w2/)
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

destroy(
  'stops when the machines were created on another host according to generated/, and names both',
  async ({ made }) => {
    writeFileSync(join(made.generated, 'hosts.json'), '["qemu+ssh://root@kvm9/system"]')
    const before = made.everything()
    const problem = await problemOf(runChain(made.cluster, confirmed(made)))
    assert.is(problem.code, 'HOSTS_CHANGED')
    assert.match(problem.message, 'qemu+ssh://root@kvm9/system')
    assert.match(problem.message, 'qemu:///system')
    assert.equal(made.everything(), before)
  },
)

destroy(
  "stops before its first stage when the machines are another operator's",
  async ({ made }) => {
    const other = '00000000-1111-4222-8333-444444444444'
    writeFileSync(join(made.generated, 'cluster-id'), other)
    const before = made.everything()
    const problem = await problemOf(runChain(made.cluster, confirmed(made)))
    assert.is(problem.code, 'VM_NOT_OURS')
    assert.match(problem.because ?? '', other)
    assert.equal(made.everything(), before)
  },
)

destroy('warns of machines whose metadata names another host', async () => {
  const made = await makeCluster({ LIBVIRT_URI: 'qemu+ssh://root@kvm9/system' })
  process.env['PATH'] = `${made.path('bin')}:${process.env['PATH']}`
  writeFileSync(join(made.generated, 'hosts.json'), '[]')
  try {
    const moved = {
      ...made.cluster,
      settings: { ...made.cluster.settings, LIBVIRT_URI: ['qemu:///system'] },
    }
    const { lines } = await runChain(moved, {
      ...confirmed(made),
      until: 'cluster:confirm-destroy',
    })
    assert.match(
      lines.join('\n'),
      'talosmith-test-a-cp1 was created through qemu+ssh://root@kvm9/system, but found on qemu:///system',
    )
  } finally {
    made.close()
  }
})

for (const planted of ['secrets.yaml', 'kubeconfig', 'configs', 'removed'])
  destroy(`refuses a symbolic link planted as ${planted}, before any change`, async ({ made }) => {
    const target = made.path('elsewhere')
    mkdirSync(target)
    writeFileSync(join(target, 'precious'), 'theirs')
    rmSync(join(made.generated, planted), { recursive: true, force: true })
    symlinkSync(target, join(made.generated, planted))
    const before = made.everything()
    const problem = await problemOf(runChain(made.cluster, confirmed(made)))
    assert.is(problem.code, 'GENERATED_IS_A_LINK')
    assert.match(problem.message, planted)
    assert.equal(made.everything(), before)
  })

for (const folder of ['.', 'configs'])
  destroy(
    `refuses when generated/<cluster>/${folder} is read-only, before any change`,
    async ({ made }) => {
      const isRoot = process.getuid?.() === 0
      // Permissions do not apply to root.
      if (isRoot) {
        chmodSync(made.root, 0o755)
        for (const name of ['.', ...readdirSync(made.generated, { recursive: true })])
          chownSync(join(made.generated, String(name)), 65_534, 65_534)
      }
      chmodSync(join(made.generated, folder), 0o555)
      const before = made.everything()
      if (isRoot) process.seteuid?.(65_534)
      try {
        const problem = await problemOf(runChain(made.cluster, confirmed(made)))
        assert.is(problem.code, 'GENERATED_NOT_WRITABLE')
        assert.match(problem.hint ?? '', `make ${made.generated} writable`)
      } finally {
        if (isRoot) process.seteuid?.(0)
        chmodSync(join(made.generated, folder), 0o755)
      }
      assert.equal(made.everything(), before)
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

destroy(
  'the final backup of a destroy that was given up is not taken for a new one',
  async ({ made }) => {
    await runChain(made.cluster, { ...confirmed(made), until: 'bootstrap:remove-access' })
    const file = 'etcd-2026-11-24T01-00-00.000Z.db'
    const secrets = createHash('sha256')
      .update(readFileSync(join(made.generated, 'secrets.yaml')))
      .digest('hex')
    const backup = {
      file,
      takenAt: '2026-11-24T01:00:00.000Z',
      revision: 7,
      secrets,
      isFinal: true,
    }
    mkdirSync(join(made.generated, 'backups'), { recursive: true })
    writeFileSync(
      join(made.generated, 'backups', file.replace('.db', '.json')),
      JSON.stringify(backup),
    )
    const plan = async (): Promise<number> =>
      (await planFirstBackup(made.cluster, await observeRemains(made.cluster, async () => [local])))
        .length
    assert.is(await plan(), 0)
    // cluster:up, instead of the destroy, writes it again.
    writeFileSync(join(made.generated, 'talosconfig'), 'new access')
    assert.is(await plan(), 1)
  },
)

destroy('a failed FINAL_SNAPSHOT stops before any change', async ({ made }) => {
  rmSync(join(made.generated, 'talosconfig'))
  const before = made.everything()
  const problem = await problemOf(
    runChain(made.cluster, { ...confirmed(made), finalSnapshot: true }),
  )
  assert.is(problem.code, 'BACKUP_FAILED')
  assert.match(problem.hint ?? '', 'leave FINAL_SNAPSHOT out')
  assert.equal(made.everything(), before)
})

destroy.run()
