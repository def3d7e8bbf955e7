import { existsSync, readFileSync } from 'node:fs'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { patchPath, runSteps, stepsOf } from '../e2e/life.ts'
import { describeRun, rowOf } from '../e2e/record.ts'
import { stagesFor } from '../e2e/versions.ts'
import type { World } from '../e2e/world.ts'

const from = 'v1.12.11'
const made = (settings: Readonly<Record<string, string>> = {}) => ({
  ...testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv', WORKER_COUNT: '1', ...settings }),
  patchesDir: temporaryFolder('e2e'),
})

interface Given {
  readonly settings?: Readonly<Record<string, string>>
  /** The target that fails. */
  readonly failing?: string
  /** What the kernel has for the patched parameter. */
  readonly parameter?: string
  /** A patch restarts machines. */
  readonly restarts?: boolean
  /** Talos stays at the version that it was created with. */
  readonly stays?: boolean
  /** Domains that a destroy leaves. */
  readonly left?: readonly string[]
}

/** The steps on a world that does what it is told, except for what is given. */
async function live({ settings, failing, parameter = '7', restarts, stays, left = [] }: Given) {
  const cluster = made(settings)
  const stages = stagesFor(cluster, from)
  const ran: string[] = []
  let versions = stages.before
  const world: World = {
    async run(target, env) {
      ran.push(env['CONFIRM'] === undefined ? target : `${target} CONFIRM=${env['CONFIRM']}`)
      assert.equal(
        env['TALOS_VERSION'],
        ran.some((one) => one.startsWith('cluster:upgrade'))
          ? stages.after.talos
          : stages.before.talos,
      )
      if (target === 'cluster:upgrade' && !stays) versions = stages.after
      return target === failing ? 1 : 0
    },
    async kubectl(verb) {
      if (verb !== 'get') return ''
      const boot = restarts && existsSync(patchPath(cluster)) ? 'second' : 'first'
      const items = cluster.nodes.map(({ name }) => ({
        metadata: { name },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          nodeInfo: {
            osImage: `Talos (${versions.talos})`,
            kubeletVersion: versions.kubernetes,
            bootID: boot,
          },
        },
      }))
      return JSON.stringify({ items })
    },
    async talosctl() {
      assert.match(readFileSync(patchPath(cluster), 'utf8'), 'vm.swappiness: "7"')
      return `${parameter}\n`
    },
    domains: async () => ['another', ...left],
  }
  const steps = await runSteps(stepsOf(cluster, stages), world, () => undefined)
  return { cluster, stages, steps, ran, outcomes: steps.map(({ outcome }) => outcome) }
}

test('a cluster is created on the older version, upgraded, restored and destroyed, in this order', async () => {
  const { cluster, ran, outcomes } = await live({})
  assert.equal(ran, [
    ...['cluster:up', 'cluster:plan', 'cluster:diagnose', 'storage:verify', 'cluster:up'],
    ...['bootstrap:backup', 'cluster:upgrade', 'cluster:plan', 'bootstrap:backup'],
    ...['cluster:restore CONFIRM=home', 'cluster:destroy CONFIRM=home'],
  ])
  assert.equal([...new Set(outcomes)], ['passed'])
  assert.not(existsSync(patchPath(cluster)), 'the patch is left')
})

test('storage is skipped, with the reason, when there is none', async () => {
  const { ran, steps } = await live({ settings: { NFS_SERVER: '', NFS_SHARE: '' } })
  assert.not(ran.includes('storage:verify'))
  const [skipped, ...others] = steps.filter(({ outcome }) => outcome !== 'passed')
  assert.equal([skipped?.because, others], ['NFS_SERVER is not set', []])
})

for (const [title, given, because, last] of [
  [
    'a command that fails',
    { failing: 'cluster:upgrade' },
    'cluster:upgrade exited with 1',
    'upgrade',
  ],
  ['a patch that restarts a machine', { restarts: true }, 'a machine was restarted', 'change the'],
  ['an upgrade that changes nothing', { stays: true }, 'the nodes are:', 'upgrade'],
  ['a domain that a destroy leaves', { left: ['home-w1'] }, 'still defined: home-w1', 'destroy'],
] as const)
  test(`${title} fails its step, and no later one runs`, async () => {
    const { steps, cluster } = await live(given)
    const failed = steps.at(-1)
    assert.is(failed?.outcome, 'failed')
    assert.match(failed?.because ?? '', because)
    assert.ok(failed?.step.startsWith(last), failed?.step)
    assert.is(steps.filter(({ outcome }) => outcome === 'failed').length, 1)
    assert.is(existsSync(patchPath(cluster)), title !== 'a domain that a destroy leaves')
  })

for (const [version, reason] of [
  ['v1.8.4', 'not a Talos version that is supported'],
  [made().settings.TALOS_VERSION, 'there would be no upgrade'],
] as const)
  test(`--from ${version} is refused: ${reason}`, () => {
    assert.throws(() => stagesFor(made(), version), reason)
  })

test('the record has what ran where, and who ran it', async () => {
  const { cluster, stages, steps } = await live({})
  const env = {
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: 'a/b',
    GITHUB_RUN_ID: '7',
  }
  const record = describeRun(cluster, stages, 'Debian 12, KVM', steps, env)
  assert.is(record.by, 'https://github.com/a/b/actions/runs/7')
  assert.match(record.commit, /^[0-9a-f]{40}$/)
  assert.equal([record.machines, record.before.talos, record.host], ['1+1', from, 'Debian 12, KVM'])
  assert.is(describeRun(cluster, stages, '', steps, {}).by, 'by hand')
  const row = rowOf({ ...record, at: '2030-01-02T03:04:05.678Z' })
  assert.match(row, '| 2030-01-02 | https://github.com/a/b/actions/runs/7 | Debian 12, KVM | 1+1 |')
  assert.match(row, `${from} -> ${stages.after.talos}`)
  assert.ok(row.endsWith('| 8 passed |'))
})

test.run()
