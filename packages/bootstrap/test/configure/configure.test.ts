import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { generatedFiles, Problem, silentLog, type Change, type Log } from '@talosmith/core'
import { quicken, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import { parse } from 'yaml'
import { configure } from '../../src/configure/configure.ts'
import { apiPort, openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import {
  fakeTalosctl,
  hasTalosctl,
  resource,
  versions,
  type Reply,
  showMachine,
  createCa,
  type Ca,
} from '@talosmith/clients/testing'
import * as assert from 'uvu/assert'

quicken()
// One control plane and one worker, on addresses of this test alone.
const root = temporaryFolder('configure')
const cluster = testCluster(
  { NETWORK_CIDR: '127.13.8.0/24', WORKER_COUNT: '1', TALOS_VERSION: 'v1.13.9' },
  root,
)
const test = suite('configure')
const isThere = await hasTalosctl(cluster)
const it = isThere ? test : test.skip
const real = isThere ? await openTalosctl(cluster) : undefined

const strangerCa = createCa('/O=maintenance')
const stranger = strangerCa.issue('/O=maintenance')
const shown = new Map<string, { stop(): Promise<void> }>()
/** What each machine was given last. */
const configs = new Map<string, string>()

/** The cluster's own Talos CA, as openssl can sign with it. */
function talosCa(): Ca {
  const secrets = readFileSync(join(cluster.generated, 'secrets.yaml'), 'utf8')
  const { os } = (parse(secrets) as { certs: { os: { crt: string; key: string } } }).certs
  const decode = (text: string): string => Buffer.from(text, 'base64').toString()
  // Talos writes `BEGIN ED25519 PRIVATE KEY` where other programs write PRIVATE KEY.
  return createCa('/O=talos', {
    cert: decode(os.crt),
    key: decode(os.key).replaceAll('ED25519 PRIVATE', 'PRIVATE'),
  })
}

async function show(address: string, kind: 'waiting' | 'ours'): Promise<void> {
  await shown.get(address)?.stop()
  const ca = kind === 'ours' ? talosCa() : undefined
  const machine = await showMachine(
    address,
    ca === undefined ? { waits: stranger } : { has: ca.issue('/CN=machine'), ca: ca.cert },
  )
  shown.set(address, machine)
}

/** Why the volume STATE of a machine can't be made, by address. */
const stateFails = new Map<string, string>()

/** Machines that take configs as Talos does; the generated files are made by the real talosctl. */
function machines(dryRun: Reply = ''): Talosctl & { readonly calls: string[] } {
  const fake = fakeTalosctl((words, nodes): Reply => {
    const [node = ''] = nodes
    const file = /--file=(\S+)/.exec(words)?.[1]
    if (words.includes('--dry-run')) return dryRun
    if (file !== undefined) {
      configs.set(node, readFileSync(file, 'utf8'))
      if (words.includes('--insecure')) void show(node, 'ours')
      return ''
    }
    if (words.startsWith('get machineconfig'))
      return nodes.map((one) => resource(one, configs.get(one))).join('')
    if (words.startsWith('get volumestatus'))
      return nodes.map((one) => resource(one, volumeOf(one), 'STATE')).join('')
    if (words.startsWith('version'))
      return versions(Object.fromEntries(nodes.map((one) => [one, 'v1.13.9'])))
    return resource(node, { stage: 'running', status: { ready: true, unmetConditions: null } })
  })
  return {
    ...fake,
    version: 'v1.13.9',
    offline: (...args) => real?.offline(...args) ?? fake.offline(),
  }
}

function volumeOf(address: string): object {
  const errorMessage = stateFails.get(address)
  return errorMessage === undefined ? { phase: 'ready' } : { phase: 'failed', errorMessage }
}

async function run(
  talosctl: Talosctl,
  dryRun = false,
  more: Partial<Log> = {},
): Promise<{ code: number; plan: string[] }> {
  const plan: string[] = []
  const showPlan = (changes: readonly Change[]) => {
    plan.push(...changes.map(({ kind, target, risk }) => `${kind} ${target} ${risk}`))
    return changes.length === 0 ? 0 : 2
  }
  const log = { ...silentLog, ...more }
  return { code: await configure({ cluster, log, dryRun, showPlan }, talosctl), plan }
}

const [cp = '', worker = ''] = cluster.nodes.map(({ address }) => address)
const reads = /^(?:get|version)\b/

it('a dry run on a new cluster plans everything and makes nothing', async () => {
  await Promise.all([show(cp, 'waiting'), show(worker, 'waiting')])
  const talosctl = machines()
  assert.equal(await run(talosctl, true), {
    code: 2,
    plan: [
      'create-secrets secrets none',
      'write-configs configs none',
      'write-talosconfig talosconfig none',
      'apply-config home-cp1 none',
      'apply-config home-w1 none',
    ],
  })
  assert.equal(talosctl.calls, [])
  assert.not.ok(configs.size)
})

it('fresh machines get secrets, configs and their config, once the control plane answers', async () => {
  const talosctl = machines()
  await shown.get(cp)?.stop()
  const hadSecrets: boolean[] = []
  const waiting = (fact: string): void => {
    hadSecrets.push(existsSync(join(cluster.generated, 'secrets.yaml')))
    if (fact === 'home-cp1 to answer' && hadSecrets.length === 1) void show(cp, 'waiting')
  }
  assert.is((await run(talosctl, false, { waiting })).code, 0)
  assert.is(hadSecrets[0], false)
  assert.is(configs.get(cp), readFileSync(join(cluster.generated, 'configs/home-cp1.yaml'), 'utf8'))
  assert.match(configs.get(worker) ?? '', 'type: worker')
  assert.is(talosctl.calls.filter((call) => call.startsWith('apply-config')).length, 2)
})

it('a second run only reads', async () => {
  const talosctl = machines()
  assert.is((await run(talosctl)).code, 0)
  assert.equal(
    talosctl.calls.filter((call) => !reads.test(call)),
    [],
  )
  assert.equal(await run(talosctl, true), { code: 0, plan: [] })
})

it('a recreated machine gets its config, the other is left alone', async () => {
  configs.delete(worker)
  await show(worker, 'waiting')
  const talosctl = machines()
  await run(talosctl)
  const sent = talosctl.calls.filter((call) => !reads.test(call))
  assert.is(sent.length, 1)
  assert.match(sent[0] ?? '', `--insecure @ ${worker}`)
})

it('a machine that cannot save its config fails, also in a later run that finds it configured', async () => {
  configs.delete(worker)
  await show(worker, 'waiting')
  stateFails.set(worker, 'no disks matched for volume')
  for (const attempt of ['first', 'second']) {
    const error: unknown = await run(machines()).catch((reason: unknown) => reason)
    assert.ok(error instanceof Problem, attempt)
    assert.is(error.code, 'STATE_NOT_READY')
    assert.is(error.because, 'its volume STATE is failed: no disks matched for volume')
    assert.match(error.hint ?? '', 'virsh reset home-w1')
  }
  assert.equal(await run(machines(), true), { code: 0, plan: [] })
  stateFails.clear()
  assert.is((await run(machines())).code, 0)
})

it('a changed patch is sent only to its machine, and a dry run shows whether that reboots it', async () => {
  mkdirSync(cluster.patchesDir, { recursive: true })
  writeFileSync(join(cluster.patchesDir, 'worker.yaml'), 'machine:\n  nodeLabels: {a: b}\n')
  const reboots = 'Dry run summary:\nApplied configuration with a reboot (skipped in dry-run).\n'
  const planned = await run(machines(reboots), true)
  assert.equal(planned.plan, ['write-configs configs none', 'update-config home-w1 restart'])
  assert.not.match(configs.get(worker) ?? '', 'nodeLabels')
  const talosctl = machines('Dry run summary:\nApplied configuration without a reboot (skipped).\n')
  await run(talosctl)
  assert.match(configs.get(worker) ?? '', 'nodeLabels')
  assert.not.ok(talosctl.calls.some((call) => call.startsWith('apply') && call.endsWith(cp)))
})

it('a config that a machine would reject changes no machine', async () => {
  const before = configs.get(worker)
  writeFileSync(join(cluster.patchesDir, 'worker.yaml'), 'machine:\n  nodeLabels: {a: c}\n')
  const stderr = 'error: rpc error: code = InvalidArgument desc = no such disk'
  const error: unknown = await run(machines({ stderr })).catch((reason: unknown) => reason)
  assert.is(error instanceof Problem ? error.code : '', 'CONFIG_REJECTED')
  assert.is(configs.get(worker), before)
  rmSync(join(cluster.patchesDir, 'worker.yaml'))
})

it('files of other secrets are archived before they are replaced', async () => {
  const path = (name: string): string => join(cluster.generated, name)
  const otherCa = Buffer.from(strangerCa.cert).toString('base64')
  const texts = ['talosconfig', 'configs/home-w1.yaml'].map((name) => {
    const text = readFileSync(path(name), 'utf8').replace(/^( +(?:ca|crt): )\S+$/m, `$1${otherCa}`)
    writeFileSync(path(name), text, { mode: 0o600 })
    return [name, text] as const
  })
  const warnings: string[] = []
  await run(machines(), false, { warn: (text) => void warnings.push(text) })
  const files = generatedFiles(cluster)
  const archived = (await files.list('archive')).map(({ name }) => name)
  for (const [name, text] of texts) {
    assert.not.match(readFileSync(path(name), 'utf8'), otherCa)
    const kept = archived.find((one) => one.endsWith(`/${name}`)) ?? ''
    assert.is(await files.read(kept), text)
    assert.is(statSync(path(kept)).mode & 0o777, 0o600)
    assert.ok(warnings.some((one) => one.startsWith(`${name}: not of the secrets of home`)))
  }
  assert.is(archived.length, texts.length)
  assert.equal(await run(machines(), true), { code: 0, plan: [] })
})

it('an address at which something else answers is not waited for', async () => {
  await shown.get(worker)?.stop()
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume().end('SSH-2.0-OpenSSH_9.6\r\n')
  })
  await new Promise<void>((resolve) => server.listen(apiPort, worker, resolve))
  const error: unknown = await run(machines()).catch((reason: unknown) => reason)
  await new Promise((resolve) => server.close(resolve))
  await show(worker, 'ours')
  assert.ok(error instanceof Problem)
  assert.is(error.code, 'NODE_SILENT')
  assert.match(error.because ?? '', `another machine than ours answers at ${worker}`)
})

it('lost secrets are not replaced by new ones, whether machines answer or are off', async () => {
  rmSync(join(cluster.generated, 'secrets.yaml'))
  const before = (await generatedFiles(cluster).list()).map(({ name }) => name).sort()
  for (const dryRun of [true, false]) {
    const error: unknown = await run(machines(), dryRun).catch((reason: unknown) => reason)
    assert.is(error instanceof Problem ? error.code : '', 'SECRETS_LOST')
    await Promise.all([...shown.values()].map((machine) => machine.stop()))
  }
  assert.equal((await generatedFiles(cluster).list()).map(({ name }) => name).sort(), before)
})

it('machines of secrets that are in no folder here are refused, and no new secrets are made', async () => {
  const elsewhere = testCluster(
    { NETWORK_CIDR: '127.13.8.0/24', WORKER_COUNT: '1', TALOS_VERSION: 'v1.13.9' },
    temporaryFolder('configure elsewhere'),
  )
  const other = createCa('/O=talos')
  const has = other.issue('/CN=machine')
  const machine = await showMachine(cp, { has, ca: other.cert })
  const context = { cluster: elsewhere, log: silentLog, dryRun: false, showPlan: () => 0 as const }
  const error: unknown = await configure(context, machines()).catch((reason: unknown) => reason)
  await machine.stop()
  assert.is(error instanceof Problem ? error.code : '', 'NODE_FOREIGN')
  assert.not.ok(existsSync(join(elsewhere.generated, 'secrets.yaml')))
})

test.after(async () => {
  await Promise.all([...shown.values()].map((machine) => machine.stop()))
})

test.run()
