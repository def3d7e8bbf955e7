import { readFileSync, writeFileSync } from 'node:fs'
import { local, silentLog } from '@talosmith/core'
import { problemOf, recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyVmChange } from '../src/apply.ts'
import { planCreate } from '../src/plan-create.ts'
import { planDestroy, planRemoveSeeds } from '../src/plan-destroy.ts'
import { planMachineStart, planMachineStop } from '../src/plan-power.ts'
import type { VmChange } from '../src/vm-change.ts'
import type { ObservedHost } from '../src/observe.ts'
import { domainXml } from './fake-host.ts'
import { pool, finishedHost, emptyHost, withDomain } from './observed-hosts.ts'

const cluster = testCluster()
type Answers = Parameters<typeof recordingHost>[0]

/** Applies the change of `kind` for home-w1, and returns the commands that were run. */
async function run(
  changes: readonly VmChange[],
  kind: VmChange['kind'],
  observed: ObservedHost,
  answers: Answers = () => '',
): Promise<string[]> {
  const host = recordingHost(answers)
  const change = changes.find((one) => one.kind === kind && one.target === 'home-w1')
  if (change === undefined) throw new Error(`no ${kind} is planned`)
  await applyVmChange(change, { cluster, hosts: [host], observedHosts: [observed], log: silentLog })
  return host.commands
}
const nothing = emptyHost(cluster)
const all = finishedHost(cluster)
const creating = planCreate(cluster, [nothing])
const destroying = planDestroy(cluster, [all])

test('a disk is created beside a temporary name, backed by the image', async () => {
  const [command = ''] = await run(creating, 'create-disk', nothing)
  assert.match(
    command,
    /^pool_overlay \S+\/talos-v1\.13\.9-\S+\.raw (\S+\/home-w1\.qcow2) \1\.talosmith-partial 50$/m,
  )
})

test('a disk is recorded once it exists, and again before the machine starts', async () => {
  const record = /metadata home-w1 --config .*<disk state='.*created/
  const commands = await run(creating, 'create-disk', nothing)
  assert.match(commands[0] ?? '', 'pool_overlay')
  assert.match(commands[1] ?? '', record)
  const unrecorded = withDomain(all, 'home-w1', (domain) => ({ ...domain, diskNote: 'none' }))
  assert.match((await run(creating, 'start-domain', unrecorded))[0] ?? '', record)
  assert.match((await run(planCreate(cluster, [unrecorded]), 'record-disk', all))[0] ?? '', record)
})

test('a seed ISO is created under a temporary name, with the label cidata and the marker', async () => {
  const [command = ''] = await run(creating, 'create-seed', nothing)
  assert.match(command, "-V cidata -publisher 'TALOSMITH CLUSTER=HOME NODE=HOME-W1'")
  assert.match(command, `pool_put "$work/seed.iso" ${pool}/home-w1-seed.iso`)
  assert.not.match(command, 'user-data')
})

test('the XML of a domain is in no file of the host and in no argument', async () => {
  const xml = domainXml(cluster, 'home-w1').replace(
    '</devices>',
    `<graphics type='vnc' passwd='s3cretvalue99'/></devices>`,
  )
  for (const [kind, observed] of [
    ['define-domain', nothing],
    ['update-domain', all],
  ] as const) {
    const host = recordingHost((command) => (command.includes('dumpxml') ? xml : ''))
    const change: VmChange = { kind, target: 'home-w1', host: 0, summary: '', risk: 'none' }
    await applyVmChange(change, {
      ...{ cluster, hosts: [host], observedHosts: [observed], log: silentLog },
    })
    const [command, input] = [...host.inputs][0] ?? []
    assert.match(command ?? '', 'virsh -q -c qemu:///system define <(')
    assert.match(input ?? '', /^<domain/)
    if (kind === 'update-domain') assert.match(input ?? '', 's3cretvalue99')
    assert.not.match(host.commands.join(), /<domain|s3cretvalue/)
    assert.is(host.written.size, 0)
  }
})

test('virsh reads the XML as it is', async () => {
  const folder = temporaryFolder('virsh')
  const program = `#!/bin/bash\n[ "$4" = define ] || exit 9\ncat "$5" >${folder}/read\ncat /proc/$PPID/cmdline >${folder}/arguments\n`
  writeFileSync(`${folder}/virsh`, program, { mode: 0o755 })
  const path = process.env['PATH']
  process.env['PATH'] = `${folder}:${path}`
  try {
    const change = creating.find((one) => one.kind === 'define-domain' && one.target === 'home-w1')
    assert.ok(change)
    await applyVmChange(change, {
      ...{ cluster, hosts: [local], observedHosts: [nothing], log: silentLog },
    })
  } finally {
    process.env['PATH'] = path
  }
  const xml = readFileSync(`${folder}/read`, 'utf8')
  assert.match(xml, /^<domain[\s\S]*<\/domain>\s*$/)
  assert.not.match(readFileSync(`${folder}/arguments`, 'utf8'), '<domain')
})

test('a running machine’s disk grows through its QEMU, a stopped one’s in the pool', async () => {
  const desired = testCluster({ WORKER_DISK_GIB: '60' })
  const off = withDomain(all, 'home-w1', (domain) => ({
    ...domain,
    live: { state: 'shut off', memoryMib: undefined, cpu: undefined },
  }))
  const changes = planCreate(desired, [all])
  const grow = changes.find(({ kind, target }) => kind === 'grow-disk' && target === 'home-w1')
  if (grow === undefined) throw new Error('nothing grows')
  for (const [observed, expected] of [
    [all, `blockresize home-w1 ${pool}/home-w1.qcow2 60GiB`],
    [off, `pool_resize ${pool}/home-w1.qcow2 60`],
  ] as const) {
    const host = recordingHost(() => '')
    await applyVmChange(grow, {
      cluster: desired,
      hosts: [host],
      observedHosts: [observed],
      log: silentLog,
    })
    assert.match(host.commands.join('\n'), expected)
  }
})

for (const [state, verb] of [
  ['shut off', 'start'],
  ['crashed', 'start'],
  ['paused', 'resume'],
  ['pmsuspended', 'dompmwakeup'],
] as const)
  test(`a machine that is ${state} is started by ${verb}`, async () => {
    const commands = await run(creating, 'start-domain', nothing, (command) =>
      command.includes('domstate') ? state : '',
    )
    assert.match(commands.at(-1) ?? '', ` ${verb} home-w1`)
  })

test('starting a machine that is already running does nothing', async () => {
  const commands = await run(creating, 'start-domain', nothing, () => 'running')
  assert.is(commands.length, 1)
})

test('removing a machine also removes its NVRAM, saved state and both logs', async () => {
  const commands = (await run(destroying, 'undefine-domain', all)).join('\n')
  assert.match(commands, 'undefine home-w1 --nvram --managed-save')
  assert.match(commands, 'rm -f -- /var/log/libvirt/qemu/home-w1-console.log')
  assert.match(commands, ' /var/log/libvirt/qemu/home-w1.log ')
})

test('a machine with a new disk starts without saved memory and UEFI variables of the former one', async () => {
  const unrecorded = withDomain(all, 'home-w1', (domain) => ({ ...domain, diskNote: 'none' }))
  const off = (command: string) => (command.includes('domstate') ? 'shut off' : '')
  assert.match(
    (await run(creating, 'start-domain', unrecorded, off)).at(-1) ?? '',
    ' start home-w1 --force-boot --reset-nvram',
  )
  assert.match((await run(creating, 'start-domain', all, off)).at(-1) ?? '', / start home-w1$/)
  // virsh before 8.1.0; a loader chosen by hand.
  for (const stderr of [
    "error: command 'start' doesn't support option --reset-nvram\n",
    'error: operation failed: unable to find any master var store for loader: /fw/own.fd\n',
  ]) {
    const unable = (command: string) =>
      command.includes('reset-nvram') ? { stderr, exitCode: 1 } : off(command)
    assert.match(
      (await run(creating, 'start-domain', unrecorded, unable)).at(-1) ?? '',
      / start home-w1 --force-boot$/,
    )
  }
})

test('a rebuilt machine loses saved memory and snapshots before its definition is replaced', async () => {
  const separator = /echo --err ([\w.-]+)/
  const host = recordingHost((command) => {
    if (command.includes('dumpxml')) return domainXml(cluster, 'home-w1')
    const end = separator.exec(command)?.[1]
    if (end === undefined) return ''
    const outputs = command.includes('snapshot-list') ? ['a b\n', 'c1\n'] : ['', '']
    return {
      stdout: outputs.map((one) => `${one}${end}\n`).join(''),
      stderr: `error: ${end}\n`.repeat(2),
    }
  })
  await applyVmChange(
    { kind: 'rebuild-domain', target: 'home-w1', host: 0, summary: '', risk: 'data-loss' },
    { cluster, hosts: [host], observedHosts: [all], log: silentLog },
  )
  const commands = host.commands.join('\n').replaceAll(/'\\''|'/g, '')
  const order = ['managedsave-remove home-w1', 'snapshot-delete home-w1 a b --metadata']
  for (const what of [...order, 'checkpoint-delete home-w1 c1 --metadata', 'define <('])
    assert.match(commands, what)
  assert.not.match(commands, 'undefine')
  assert.ok(commands.indexOf('managedsave-remove') < commands.indexOf('define <('))
})

test('removing a machine that another process has removed succeeds', async () => {
  const gone = { stderr: "error: failed to get domain 'home-w1'\n", exitCode: 1 }
  await run(destroying, 'undefine-domain', all, (command) =>
    command.startsWith('virsh') ? gone : '',
  )
  await run(destroying, 'cut-power', all, () => gone)
})

test('only the files named in the metadata are removed', async () => {
  const commands = await run(destroying, 'remove-disk', all)
  assert.match(commands[0] ?? '', /metadata home-w1 --config .* '<disk state='.*none/)
  const disk = `${pool}/home-w1.qcow2`
  assert.is(commands.length, 2)
  assert.match(commands[1] ?? '', `\npool_remove ${disk} ${disk}.talosmith-partial`)
  const seeds = planRemoveSeeds(cluster, [{ ...all, domains: [] }])
  const seed = `${pool}/home-w1-seed.iso`
  const [removal = '', ...others] = await run(seeds, 'remove-seed', all)
  assert.equal(others, [])
  assert.ok(
    removal.endsWith(`\npool_remove ${seed} ${seed}.talosmith-partial ${seed}.talosmith-upload`),
  )
})

test('the marker of an upload is removed after what was uploaded in part', async () => {
  const seed = `${pool}/home-w1-seed.iso`
  const leftover = { path: `${seed}.talosmith-upload`, node: 'home-w1', file: 'seed' } as const
  const observed = { ...all, domains: [], leftovers: [leftover] }
  const [command] = await run(planRemoveSeeds(cluster, [observed]), 'remove-leftover', observed)
  assert.match(command ?? '', `\npool_remove ${seed} ${seed}.talosmith-upload`)
})

const refusals: readonly [string, VmChange['kind'], string, string][] = [
  ['Permission denied', 'start-domain', 'VM_START_FAILED', 'namei -l'],
  ["network 'lan' is not active", 'start-domain', 'VM_START_FAILED', 'net-start'],
  ['Cannot allocate memory', 'start-domain', 'VM_START_FAILED', 'memory'],
  ['Could not access KVM kernel module', 'start-domain', 'VM_START_FAILED', 'DOMAIN_TYPE=qemu'],
  ['Read-only file system', 'create-disk', 'VM_DISK_FAILED', 'remount,rw'],
  ['No space left on device', 'create-disk', 'VM_DISK_FAILED', 'free up space'],
  [
    "CPU topology doesn't match maximum vcpu count",
    'define-domain',
    'VM_DEFINE_FAILED',
    'virsh edit',
  ],
  ['something odd', 'create-seed', 'VM_SEED_FAILED', 'same command again'],
  ["domain 'home-w1' already exists", 'define-domain', 'VM_DEFINE_FAILED', 'checks the host again'],
]
for (const [words, kind, code, hint] of refusals)
  test(`${code} has a hint for: ${words}`, async () => {
    const problem = await problemOf(
      run(creating, kind, nothing, () => ({ stderr: `error: ${words}\n`, exitCode: 1 })),
    )
    assert.is(problem.code, code)
    assert.match(problem.message, 'home-w1')
    assert.match(problem.because ?? '', words)
    assert.match(problem.now ?? '', 'home-w1')
    assert.match(problem.hint ?? '', hint)
  })

test('a machine that does not start because its disk is lost is reported as such', async () => {
  const domains = all.domains.map((domain) => ({
    ...domain,
    live: { ...domain.live, state: 'shut off' },
  }))
  const disks = new Map([...all.disks].filter(([path]) => !path.includes('home-w1')))
  const lost = { ...all, domains, disks }
  const problem = await problemOf(
    run(planMachineStart(cluster, [lost]), 'start-domain', lost, (command) =>
      / start /.test(command) ? { stderr: 'error: Cannot access storage file', exitCode: 1 } : '',
    ),
  )
  assert.is(problem.code, 'DISK_LOST')
  assert.is(problem.now, 'home-w1 is not running')
})

test('what libvirt quotes of a definition has no password in it', async () => {
  const stderr = `error: (domain_definition):3: mismatched tag\n<graphics type='vnc' passwd='s3cretvalue99'/>\n----^\n`
  const problem = await problemOf(
    run(creating, 'define-domain', nothing, () => ({ stderr, exitCode: 1 })),
  )
  assert.match(problem.because ?? '', "mismatched tag; <graphics type='vnc' passwd=[removed]")
})

test('a machine that shuts down at once gets one shutdown command', async () => {
  let state = 'running'
  const host = recordingHost((command) => {
    if (command.includes('shutdown')) state = 'shut off'
    return state
  })
  const change: VmChange = {
    kind: 'stop-domain',
    target: 'home-w1',
    summary: 'Shut home-w1 down',
    risk: 'restart',
    host: 0,
  }
  await applyVmChange(change, { cluster, hosts: [host], observedHosts: [all], log: silentLog })
  assert.is(host.commands.filter((command) => command.includes('shutdown')).length, 1)
})

test('a paused machine is resumed before it is shut down', async () => {
  let state = 'paused'
  const host = recordingHost((command) => {
    if (command.includes('resume')) state = 'running'
    if (command.includes('shutdown') && state === 'running') state = 'shut off'
    return state
  })
  const [change] = planMachineStop(cluster, [all]).filter(({ target }) => target === 'home-w1')
  if (change === undefined) throw new Error('nothing is planned')
  await applyVmChange(change, { cluster, hosts: [host], observedHosts: [all], log: silentLog })
  const verbs = host.commands.map((command) => /(\w+) home-w1/.exec(command)?.[1])
  assert.equal(verbs.slice(0, 3), ['domstate', 'resume', 'shutdown'])
})

test.run()
