import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFiles } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { access, stateDigest, labCluster, nx, run, withHost } from './support.ts'

const cluster = await labCluster()
const files = hostFiles(cluster, '/var/lib/libvirt/images')
const addressOf = (name: string): string =>
  cluster.nodes.find((node) => node.name === name)?.address ?? ''

interface Plan {
  readonly changes: number
  readonly parts: readonly {
    readonly part: string
    readonly changes: readonly {
      readonly kind: string
      readonly target: string
      readonly from?: string
      readonly to?: string
    }[]
    readonly problems: readonly { readonly code: string }[]
    readonly unknown: readonly string[]
  }[]
}

interface Status {
  readonly endpoint: { readonly answers: boolean }
  readonly access: readonly { readonly daysLeft: number; readonly fault: string | null }[]
  readonly nodes: readonly {
    readonly name: string
    readonly vm: { readonly state: string } | null
    readonly talos: Readonly<Record<string, unknown>> | null
    readonly kubernetes: Readonly<Record<string, unknown>> | null
    readonly etcd: Readonly<Record<string, unknown>> | null
    readonly disk: { readonly sizeGb: number; readonly usedGb: number } | null
    readonly reasons: readonly string[]
  }[]
  readonly unknown: readonly unknown[]
}

async function ask<T>(
  name: 'plan' | 'status',
): Promise<{ code: number | null; output: T; seconds: number }> {
  const started = performance.now()
  const script = ['node', '--import', 'tsx', `scripts/${name}.ts`, '--cluster', 'lab', '--json']
  const { code, output } = await run(script)
  // Progress on stderr may surround it.
  const [json = ''] = /^\{[\s\S]*^\}/m.exec(output) ?? []
  return { code, output: JSON.parse(json) as T, seconds: (performance.now() - started) / 1000 }
}

/** Every change of the plan as `part kind target`. */
async function planned(): Promise<{ code: number | null; changes: string[]; plan: Plan }> {
  const { code, output } = await ask<Plan>('plan')
  const changes = output.parts.flatMap(({ part, changes: own }) =>
    own.map(({ kind, target }) => `${part} ${kind} ${target}`),
  )
  return { code, changes, plan: output }
}

test('after cluster:up the plan has no changes', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  const { code, changes, plan } = await planned()
  assert.equal(changes, [])
  assert.equal(
    plan.parts.flatMap(({ problems, unknown }) => [...problems, ...unknown]),
    [],
  )
  assert.is(code, 0)
  const { code: throughNx, output } = await nx('cluster:plan')
  assert.is(throughNx, 0)
  assert.match(output, 'Nothing to do: everything matches the settings.')
})

/** The status once everything answered in time: an emulated machine can be too busy for its short limits. */
async function completeStatus(): Promise<Status> {
  for (let tries = 1; ; tries++) {
    const { code, output, seconds } = await ask<Status>('status')
    assert.is(code, 0)
    assert.ok(seconds < 10, `it took ${seconds} s`)
    const isComplete =
      output.endpoint.answers && output.nodes.every(({ reasons }) => reasons.length === 0)
    if (isComplete || tries === 4) return output
  }
}

test('the status is complete for every machine', async () => {
  const output = await completeStatus()
  assert.equal(output.unknown, [])
  assert.ok(output.endpoint.answers)
  for (const { fault, daysLeft } of output.access) {
    assert.is(fault, null)
    assert.ok(daysLeft > 300)
  }
  const { TALOS_VERSION, KUBERNETES_VERSION } = cluster.settings
  for (const { name, vm, talos, kubernetes, disk, reasons } of output.nodes) {
    assert.is(vm?.state, 'running')
    assert.equal(talos, {
      stage: 'running',
      ready: true,
      version: TALOS_VERSION,
      schematic: cluster.schematic.id,
    })
    assert.equal(kubernetes, { version: KUBERNETES_VERSION, ready: true })
    assert.ok(disk !== null && disk.usedGb > 0 && disk.usedGb < disk.sizeGb, `disk of ${name}`)
    assert.equal(reasons, [])
  }
  assert.equal(
    output.nodes.map(({ etcd }) => etcd),
    [{ member: true, learner: false, leader: true }, null, null],
  )
})

test('the table of cluster:status shows the same', async () => {
  const complete =
    /^lab-cp1 +controlplane +\S+ +running +running +v\S+ +\w{12} +v\S+ +yes +leader /m
  let { code, output } = await nx('cluster:status')
  // As for completeStatus.
  for (let tries = 1; tries < 4 && !complete.test(output); tries++)
    ({ code, output } = await nx('cluster:status'))
  assert.is(code, 0)
  assert.match(output, complete)
  assert.match(output, /^lab-w2 +worker +\S+ +running +running /m)
  assert.match(
    output,
    /^kubeconfig +\S+generated\/lab\/kubeconfig until \d{4}-\d\d-\d\d \(\d+ days\)$/m,
  )
})

test('a hanging machine is shown with its reason, in time', async () => {
  await withHost(cluster, ({ $ }) => $`virsh suspend lab-w1`)
  try {
    const { code, output, seconds } = await ask<Status>('status')
    assert.is(code, 0)
    assert.ok(seconds < 10, `it took ${seconds} s`)
    const [, hanging, well] = output.nodes
    assert.is(hanging?.vm?.state, 'paused')
    assert.is(hanging?.talos, null)
    assert.match(hanging?.reasons.join() ?? '', 'does not answer')
    assert.is(well?.talos?.['stage'], 'running')
  } finally {
    await withHost(cluster, ({ $ }) => $`virsh resume lab-w1`)
  }
})

const drifts: [string, () => Promise<unknown>, RegExp][] = [
  [
    'memory changed with virsh setmaxmem',
    () => withHost(cluster, ({ $ }) => $`virsh setmaxmem lab-w1 2G --config`),
    /^vm update-domain lab-w1$/m,
  ],
  [
    'memory changed with virsh setmem',
    () => withHost(cluster, ({ $ }) => $`virsh setmem lab-cp1 1G --config`),
    /^vm update-domain lab-cp1$/m,
  ],
  [
    'a machine config patched by hand',
    () =>
      access(
        cluster,
        'talosctl',
        '-n',
        addressOf('lab-w1'),
        'patch',
        'machineconfig',
        '--mode=no-reboot',
        '--patch',
        '{"machine":{"sysctls":{"vm.swappiness":"10"}}}',
      ),
    /^bootstrap update-config lab-w1$/m,
  ],
  [
    'a StorageClass edited',
    () =>
      access(
        cluster,
        'kubectl',
        'patch',
        'storageclass',
        'nfs-appdata',
        '--patch={"allowVolumeExpansion":false}',
      ),
    /^storage update-storage-class StorageClass\/nfs-appdata$/m,
  ],
  [
    'a domain deleted with its files',
    () =>
      withHost(
        cluster,
        ({ $ }) => $`virsh destroy lab-w2; virsh undefine --nvram lab-w2
rm ${files.disk({ name: 'lab-w2' })} ${files.seed({ name: 'lab-w2' })}`,
      ),
    /^vm define-domain lab-w2$[\s\S]*^bootstrap apply-config lab-w2$/m,
  ],
]
for (const [title, make, expected] of drifts)
  test(`the plan shows ${title}`, async () => {
    await make()
    const { code, changes } = await planned()
    assert.is(code, 2)
    assert.match(changes.join('\n'), expected)
  })

test('the plan shows where the patched config differs', async () => {
  const { plan } = await planned()
  const changes = plan.parts.flatMap((part) => part.changes)
  const patched = changes.find(({ kind }) => kind === 'update-config')
  assert.is(patched?.from, 'other values of machine.sysctls')
})

test('the plan shows a replaced image file, and the download fails', async () => {
  const kept = `${files.image}.kept`
  await withHost(
    cluster,
    ({ $ }) => $`mv ${files.image} ${kept}; cp --sparse=always ${kept} ${files.image}
printf x | dd of=${files.image} bs=1 seek=1000000 conv=notrunc status=none`,
  )
  try {
    const { code, changes } = await planned()
    assert.is(code, 2)
    assert.match(changes.join('\n'), `image verify-image ${files.image}`)
    const refused = await run([
      'npx',
      'tsx',
      'packages/image/scripts/download.ts',
      '--cluster',
      'lab',
    ])
    assert.is(refused.code, 1)
    assert.match(refused.output, 'IMAGE_LEDGER_MISMATCH')
  } finally {
    await withHost(cluster, ({ $ }) => $`mv ${kept} ${files.image}`)
  }
})

test('plan and status change nothing, and Nx turns exit code 2 into 1', async () => {
  const before = await stateDigestWithoutDeleted()
  assert.is((await nx('cluster:plan')).code, 1)
  assert.is((await nx('cluster:status')).code, 0)
  assert.is(await stateDigestWithoutDeleted(), before)
})

test('cluster:up fixes all of it, and the plan is empty again', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  const { code, changes } = await planned()
  assert.equal(changes, [])
  assert.is(code, 0)
})

test('cluster:stop shuts every worker down before the control plane, without cutting power', async () => {
  const { code, output } = await nx('cluster:stop')
  assert.is(code, 0)
  assert.not.match(output, 'cutting its power')
  const ended = stepsOf(await lastRun()).filter((step) => step.startsWith('done Shut'))
  assert.equal(ended.slice(0, 2).sort(), ['done Shut lab-w1 down', 'done Shut lab-w2 down'])
  assert.equal(ended.slice(2), ['done Shut lab-cp1 down'])
  const steps = stepsOf(await lastRun())
  assert.ok(steps.indexOf('start Shut lab-cp1 down') > steps.indexOf(ended[1] ?? ''))
  const { stdout } = await withHost(cluster, ({ $ }) => $`virsh -q list --name`)
  assert.not.match(stdout, /lab-(cp|w)\d/)
})

test('cluster:start starts the control plane first, and ends when the cluster is healthy', async () => {
  const { code, output } = await nx('cluster:start')
  assert.is(code, 0)
  assert.match(output, /cluster lab to be healthy/)
  const started = stepsOf(await lastRun()).filter((step) => step.startsWith('start Start lab-'))
  assert.is(started[0], 'start Start lab-cp1')
  assert.equal(started.slice(1).sort(), ['start Start lab-w1', 'start Start lab-w2'])
  assert.equal((await planned()).changes, [])
  assert.is((await nx('cluster:start')).code, 0)
})

/** The record of the last run that changed something: its events, in order. */
async function lastRun(): Promise<readonly { readonly event: string; readonly text?: string }[]> {
  const folder = join(cluster.generated, 'runs')
  const last = readdirSync(folder).sort().at(-1) ?? ''
  const lines = readFileSync(join(folder, last), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as { event: string; text?: string })
}

function stepsOf(events: Awaited<ReturnType<typeof lastRun>>): string[] {
  return events
    .filter(({ event }) => event === 'start' || event === 'done')
    .map(({ event, text = '' }) => `${event} ${text}`)
}

/** The digest while machine lab-w2 is deleted: talosctl queries the others only. */
async function stateDigestWithoutDeleted(): Promise<string> {
  const nodes = cluster.nodes.filter(({ name }) => name !== 'lab-w2')
  return stateDigest({ ...cluster, nodes })
}

test.run()
