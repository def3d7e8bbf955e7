import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import * as assert from 'uvu/assert'
import { planFirstBackup } from '../destroy/confirm.ts'
import { observeRemains } from '../destroy/remains.ts'
import { runChain } from './support/chain.ts'
import { confirmed, destroySuite } from './support/destroy-suite.ts'
import { makeCluster } from './support/made-cluster.ts'

const destroy = destroySuite('before anything is destroyed')

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
