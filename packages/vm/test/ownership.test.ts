import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCa, showMachine, type Shown } from '@talosmith/clients/testing'
import {
  checkConfirm,
  clusterIdFile,
  codes,
  Problem,
  silentLog,
  type Change,
  type Cluster,
} from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findProblems } from '../src/check.ts'
import { editDomain, withClusterId } from '../src/edit-domain.ts'
import { runFlow } from '../src/flow.ts'
import { describeMachine } from '../src/machine.ts'
import { observeHost } from '../src/observe.ts'
import { strangerProblems } from '../src/ownership.ts'
import { parseDomain } from '../src/parse-domain.ts'
import { clusterDomains } from '../src/place.ts'
import { planCreate, planDropChannels } from '../src/plan-create.ts'
import { planDestroy, planRemoveSeeds } from '../src/plan-destroy.ts'
import { planMachineStart, planMachineStop } from '../src/plan-power.ts'
import { recreateMachines } from '../src/recreate.ts'
import { describeMachineStatus } from '../src/status.ts'
import { domainXml, fakeHost, ownCluster, seedLine } from './fake-host.ts'
import { clusterId, firstOf, pool } from './observed-hosts.ts'

const otherId = '00000000-1111-4222-8333-444444444444'
const [ours, theirs] = [createCa(), createCa()]
const secretsOf = ({ cert }: { cert: string }): string =>
  `certs:\n  os:\n    crt: ${Buffer.from(cert).toString('base64')}\n`
const runsWith = (ca: typeof ours): Shown => ({ has: ca.issue('/O=talos'), ca: ca.cert })
const settings = {
  NETWORK_CIDR: '127.0.9.0/24',
  WORKER_COUNT: '0',
  LIBVIRT_URI: 'qemu+ssh://root@kvm1/system',
}
const address = '127.0.9.70'
const hosts = JSON.stringify(settings.LIBVIRT_URI.split(','))
const elsewhere = JSON.stringify(['qemu+ssh://root@kvm2/system'])

/** A host with home-cp1, whose metadata and seed have `id`. */
function hostWith(cluster: Cluster, id: string | undefined) {
  const xml = domainXml(cluster, 'home-cp1', id ?? '').replace(' cluster-id=""', '')
  const seed = seedLine(cluster, id)
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeBigUInt64BE(BigInt(firstOf(cluster).diskGib) * 2n ** 30n, 24)
  const disk = `disk 2048 ${header.toString('base64')} ${pool}/home-cp1.qcow2`
  return fakeHost({ domains: { 'home-cp1': xml }, files: [disk, seed] })
}

interface Case {
  readonly files?: Readonly<Record<string, string>>
  readonly id?: string | undefined
  readonly shown?: Shown
  readonly isOurs: boolean
}

const id = `${clusterId}\n`
const cases: Readonly<Record<string, Case>> = {
  'with our ID is ours': { files: { [clusterIdFile]: id }, id: clusterId, isOurs: true },
  'with another ID is not, although this checkout created machines on the host': {
    files: { [clusterIdFile]: id, 'hosts.json': hosts, 'secrets.yaml': secretsOf(ours) },
    id: otherId,
    isOurs: false,
  },
  'with another ID is not, whatever CA it shows': {
    files: { [clusterIdFile]: id, 'secrets.yaml': secretsOf(ours) },
    ...{ id: otherId, shown: runsWith(ours), isOurs: false },
  },
  'without an ID is ours when it shows our CA': {
    files: { 'secrets.yaml': secretsOf(ours) },
    ...{ shown: runsWith(ours), isOurs: true },
  },
  'without an ID is ours when it shows a CA that was archived': {
    files: { 'archive/x/secrets.yaml': secretsOf(ours), 'secrets.yaml': secretsOf(theirs) },
    ...{ shown: runsWith(ours), isOurs: true },
  },
  'without an ID is not when it shows another CA, although the hosts are recorded': {
    files: { 'secrets.yaml': secretsOf(ours), 'hosts.json': hosts },
    ...{ shown: runsWith(theirs), isOurs: false },
  },
  'without an ID that is silent is ours where hosts.json names its host': {
    files: { 'secrets.yaml': secretsOf(ours), 'hosts.json': hosts },
    isOurs: true,
  },
  'without an ID that waits for its config is ours where hosts.json names its host': {
    files: { 'secrets.yaml': secretsOf(ours), 'hosts.json': hosts },
    ...{ shown: { waits: theirs.issue('/O=talos') }, isOurs: true },
  },
  'without an ID that is silent is not ours where hosts.json names other hosts': {
    files: { 'secrets.yaml': secretsOf(ours), 'hosts.json': elsewhere },
    isOurs: false,
  },
  'without an ID that is silent is ours by the owner file alone': {
    files: { 'secrets.owner.json': '{"cluster":"home"}' },
    isOurs: true,
  },
  'without an ID is not ours for a fresh clone': { files: {}, isOurs: false },
  'with an ID is not ours for a fresh clone': { files: {}, id: otherId, isOurs: false },
  'with an ID is ours on a new computer when it shows the CA of the secrets': {
    files: { 'secrets.yaml': secretsOf(ours) },
    ...{ id: otherId, shown: runsWith(ours), isOurs: true },
  },
  'with an ID that is silent is ours on a computer that has a backup with that ID': {
    files: {
      'backups/etcd-2026-01-01T00-00-00.000Z.json': JSON.stringify({ clusterId: otherId }),
      'backups/etcd-2026-01-02T00-00-00.000Z.json': JSON.stringify({ clusterId }),
      'backups/etcd-2026-01-03T00-00-00.000Z.json': '{',
    },
    ...{ id: clusterId, isOurs: true },
  },
}

for (const [title, { files = {}, id: has, shown, isOurs }] of Object.entries(cases))
  test(`a machine ${title}`, async () => {
    const cluster = ownCluster(settings, files)
    const machine = shown && (await showMachine(address, shown))
    try {
      const observed = await observeHost(hostWith(cluster, has), cluster, 0)
      assert.is(clusterDomains(cluster, observed).length, isOurs ? 1 : 0)
      const found = strangerProblems(cluster, [observed]).map(({ code }) => code)
      assert.equal(found, isOurs ? [] : [codes.vmNotOurs])
      assert.equal(
        findProblems(cluster, [observed]).map(({ code }) => code),
        found,
      )
      // A seed goes with its machine; without one, IDs and the record of the hosts decide.
      const [seed] = observed.seeds.values()
      assert.is(seed?.cluster === 'home', isOurs)
      if (isOurs) return
      for (const plan of [planDestroy, planMachineStart, planMachineStop, planDropChannels])
        assert.equal(plan(cluster, [observed]), [])
      assert.equal(planRemoveSeeds(cluster, [{ ...observed, domains: [] }]), [])
      assert.equal(
        planCreate(cluster, [observed]).filter(({ target }) => target === 'home-cp1'),
        [],
      )
      assert.match(describeMachineStatus(cluster, [observed])[0]?.notes.join() ?? '', /ID|CA/)
    } finally {
      await machine?.stop()
    }
  })

for (const [name, expected] of [
  ['kubeconfig', true],
  ['removed/kubeconfig', true],
  ['archive/2026-01-01/kubeconfig', true],
  ['backups/etcd-2026-01-01T00-00-00.000Z.db', true],
  ['restoring.json', true],
  ['secrets.yaml', false],
  ['talosconfig', false],
] as const)
  test(`with hosts.json and ${name} the cluster was ${expected ? '' : 'not yet '}bootstrapped`, async () => {
    const cluster = ownCluster(settings, { 'hosts.json': hosts, [name]: '{}' })
    const { identity } = await observeHost(fakeHost({ domains: {} }), cluster, 0)
    assert.is(identity.wasBootstrapped, expected)
  })

/** Runs a flow; returns its problem, its plan and the commands that change something. */
async function run(
  work: (context: Parameters<typeof runFlow>[0]) => Promise<unknown>,
  cluster: Cluster,
  host: ReturnType<typeof fakeHost>,
) {
  const planned: Change[] = []
  const problem = await work({
    cluster,
    log: silentLog,
    dryRun: false,
    hosts: async () => [host],
    confirm: (changes) => checkConfirm(cluster, 'home', changes),
    showPlan: (changes) => (planned.push(...changes), 2 as const),
  }).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  return { problem, changing: host.commands.slice(2) }
}

const flows = {
  'vm:create': (context) => runFlow(context, { plan: planCreate, nothing: '' }),
  'cluster:start': (context) => runFlow(context, { plan: planMachineStart, nothing: '' }),
  'cluster:stop': (context) => runFlow(context, { plan: planMachineStop, nothing: '' }),
  'vm:destroy': (context) =>
    runFlow(context, { plan: planDestroy, nothing: '', needsConfirm: true }),
  'vm:remove-seeds': (context) =>
    runFlow(context, { plan: planRemoveSeeds, nothing: '', needsConfirm: true }),
  'cluster:restore and cluster:regenerate-secrets': (context) =>
    recreateMachines(context, new Set(['home-cp1'])),
} as const satisfies Record<string, Parameters<typeof run>[0]>

for (const [name, flow] of Object.entries(flows))
  test(`${name} refuses another operator's machine and changes nothing`, async () => {
    const cluster = ownCluster(settings, { [clusterIdFile]: id, 'hosts.json': hosts })
    const { problem, changing } = await run(flow, cluster, hostWith(cluster, otherId))
    assert.is(problem?.code, codes.vmNotOurs)
    assert.match(problem?.because ?? '', otherId)
    assert.equal(changing, [])
  })

for (const [title, name, code] of [
  ['a backup', 'backups/etcd-2026-01-01T00-00-00.000Z.json', 'GENERATED_IS_A_LINK'],
  ['the ID', clusterIdFile, 'CLUSTER_ID_UNREADABLE'],
] as const)
  test(`where ${title} cannot be read, the machine is observed, and no command changes it`, async () => {
    const cluster = ownCluster(settings, { 'hosts.json': hosts, 'backups/cut': 'cut' })
    if (name === clusterIdFile) writeFileSync(join(cluster.generated, name), 'cut')
    else symlinkSync('cut', join(cluster.generated, name))
    const observed = await observeHost(hostWith(cluster, clusterId), cluster, 0)
    assert.is(clusterDomains(cluster, observed).length, 1)
    assert.is(observed.identity.unreadable?.code, code)
    assert.equal(
      strangerProblems(cluster, [observed, observed]).map((problem) => problem.code),
      [code],
    )
    for (const flow of Object.values(flows)) {
      const { problem, changing } = await run(flow, cluster, hostWith(cluster, clusterId))
      assert.equal([problem?.code, changing], [code, []])
    }
  })

test('a machine from before IDs gets one without a restart, once', async () => {
  const cluster = ownCluster(settings, { 'hosts.json': hosts })
  const before = await observeHost(hostWith(cluster, undefined), cluster, 0)
  const noted = planCreate(cluster, [before]).filter(({ kind }) => kind === 'note-cluster-id')
  assert.equal(
    noted.map(({ target, risk }) => [target, risk]),
    [['home-cp1', 'none']],
  )
  const host = hostWith(cluster, undefined)
  const plan: typeof planCreate = (...args) =>
    planCreate(...args).filter(({ kind }) => /note|seed/.test(kind))
  const { changing } = await run(
    (context) => runFlow(context, { plan, nothing: '' }),
    cluster,
    host,
  )
  const kept = readFileSync(join(cluster.generated, clusterIdFile), 'utf8').trim()
  assert.match([...host.inputs.values()].join('\n'), `cluster-id="${kept}"`)
  assert.match(changing.join('\n'), `ID=${kept.toUpperCase()}`)
  assert.not.match(changing.join('\n'), /^virsh .*system (?:destroy|reboot|shutdown|start) /m)
  // A run that was killed after the file was written goes on with the same ID.
  const after = await observeHost(hostWith(cluster, kept), cluster, 0)
  assert.equal(
    planCreate(cluster, [after]).filter(({ kind }) => /note|seed/.test(kind)),
    [],
  )
})

test('the ID of machines that are taken over on a new computer is kept there', async () => {
  const cluster = ownCluster(
    { ...settings, AUTOSTART: 'false' },
    { 'secrets.yaml': secretsOf(ours) },
  )
  const plan: typeof planCreate = (...args) =>
    planCreate(...args).filter(({ kind }) => kind === 'set-autostart')
  const machine = await showMachine(address, runsWith(ours))
  const { problem } = await run(
    (context) => runFlow(context, { plan, nothing: '' }),
    cluster,
    hostWith(cluster, otherId),
  )
  assert.is(problem, undefined)
  await machine.stop()
  assert.is(readFileSync(join(cluster.generated, clusterIdFile), 'utf8').trim(), otherId)
})

const backups = {
  'backups/etcd-2026-01-02T00-00-00.000Z.json': JSON.stringify({ clusterId }),
}

test('the next cluster gets another ID, not that of a backup of the destroyed one', async () => {
  const cluster = ownCluster(settings, backups)
  const plan: typeof planCreate = (...args) =>
    planCreate(...args).filter(({ kind }) => kind === 'set-autostart')
  const create = (host: ReturnType<typeof fakeHost>) =>
    run((context) => runFlow(context, { plan, nothing: '' }), cluster, host)
  assert.is((await create(fakeHost())).problem, undefined)
  const kept = readFileSync(join(cluster.generated, clusterIdFile), 'utf8').trim()
  assert.is.not(kept, clusterId)
  // The machines of the destroyed cluster, on a host that was offline, are none of the next one.
  assert.is((await create(hostWith(cluster, clusterId))).problem?.code, codes.vmNotOurs)
})

test('machines with the ID of a backup keep it on a new computer', async () => {
  const cluster = ownCluster({ ...settings, AUTOSTART: 'false' }, backups)
  const plan: typeof planCreate = (...args) =>
    planCreate(...args).filter(({ kind }) => kind === 'set-autostart')
  const host = hostWith(cluster, clusterId)
  const { problem } = await run((context) => runFlow(context, { plan, nothing: '' }), cluster, host)
  assert.is(problem, undefined)
  assert.is(readFileSync(join(cluster.generated, clusterIdFile), 'utf8').trim(), clusterId)
})

test('a refused run leaves no ID behind', async () => {
  const cluster = ownCluster(settings, {})
  await run(flows['vm:create'], cluster, hostWith(cluster, undefined))
  assert.not(existsSync(join(cluster.generated, clusterIdFile)))
})

test('machines with two IDs on two hosts are refused where generated/ has none', async () => {
  const cluster = ownCluster(settings, { 'hosts.json': hosts })
  const observed = [
    await observeHost(hostWith(cluster, clusterId), cluster, 0),
    await observeHost(hostWith(cluster, otherId), cluster, 0),
  ]
  assert.match(strangerProblems(cluster, observed)[0]?.because ?? '', otherId)
})

test('noting the ID changes nothing else, and later edits keep it', () => {
  const cluster = ownCluster(settings)
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('no node')
  const before = domainXml(cluster, 'home-cp1', '').replace(' cluster-id=""', '')
  const noted = withClusterId(before, clusterId)
  assert.is(parseDomain(noted).clusterId, clusterId)
  assert.is(noted.replace(` cluster-id="${clusterId}"`, ''), before.trimEnd())
  const own = { disk: '/d', seed: '/s' }
  const edited = editDomain(noted, describeMachine(cluster, node, own, 'kvm'))
  assert.is(parseDomain(edited).clusterId, clusterId)
})

test.run()
