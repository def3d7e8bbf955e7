// limit: 300 s
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import {
  createCa,
  fakeTalosctl,
  hasTalosctl,
  resource,
  showMachine,
  versions,
} from '@talosmith/clients/testing'
import { silentLog, type Change } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import {
  observeGeneratedFiles,
  writeConfigs,
  writeTalosconfig,
} from '../../src/configure/generated-files.ts'
import { recoverSecrets } from '../../src/configure/recover-secrets.ts'
import { createSecrets } from '../../src/generated/create-secrets.ts'
import { readSecrets } from '../../src/secrets/secrets.ts'

// No machine answers on these addresses unless a test shows one.
const settings = { NETWORK_CIDR: '127.13.41.0/24', WORKER_COUNT: '1', TALOS_VERSION: 'v1.13.9' }
const template = testCluster(settings, temporaryFolder('recover'))
const isThere = await hasTalosctl(template)
const real = isThere ? await openTalosctl(template) : undefined
const test = suite('recovering secrets')
const it = isThere ? test : test.skip

let cluster = template
const path = (name: string): string => join(cluster.generated, name)
let secrets = ''

test.before(async () => {
  if (real === undefined) return
  await createSecrets(template, real)
  const { desired, digest } = await observeGeneratedFiles(template, real, silentLog)
  if (desired !== undefined) await writeConfigs(template, desired, digest)
  await writeTalosconfig(template, real)
  secrets = readFileSync(path('secrets.yaml'), 'utf8')
  rmSync(path('secrets.yaml'))
})
test.before.each(() => {
  cluster = testCluster(settings, temporaryFolder('recover'))
  if (isThere) cpSync(template.generated, cluster.generated, { recursive: true })
})

async function recover(dryRun = false, talosctl: Talosctl | undefined = real) {
  const plan: string[] = []
  const lines: string[] = []
  const showPlan = (changes: readonly Change[]) => {
    plan.push(...changes.map(({ summary, from, to }) => `${summary}: ${from} -> ${to}`))
    return changes.length === 0 ? (0 as const) : (2 as const)
  }
  const log = { ...silentLog, info: (text: string) => void lines.push(text) }
  const code = await recoverSecrets({ cluster, log, dryRun, showPlan }, talosctl)
  return { code, plan, output: lines.join('\n') }
}
const remove = (...names: string[]): void => {
  for (const name of names) rmSync(path(name), { recursive: true })
}
const isRecovered = (): boolean =>
  existsSync(path('secrets.yaml')) && readFileSync(path('secrets.yaml'), 'utf8') === secrets

it("a control plane's config gives back the same file, byte for byte, for its owner alone", async () => {
  const { output } = await recover()
  assert.ok(isRecovered())
  assert.is(statSync(path('secrets.yaml')).mode & 0o777, 0o600)
  assert.match(output, 'it matches the CA of the talosconfig, the checksum of the lost file')
  assert.ok(await readSecrets(cluster))
  assert.equal(readdirSync(path('work')), [])
})

it('a dry run shows the source, and writes nothing', async () => {
  const { code, plan } = await recover(true)
  assert.is(code, 2)
  assert.match(plan[0] ?? '', 'Recover secrets.yaml from configs/home-cp1.yaml: missing -> matches')
  assert.not.ok(existsSync(path('secrets.yaml')))
})

it('a secrets.yaml that exists is never replaced, whatever it holds', async () => {
  await recover()
  assert.equal(await recover(true), { code: 0, plan: [], output: '' })
  writeFileSync(path('secrets.yaml'), `${secrets}# edited\n`)
  assert.is((await problemOf(recover())).code, 'SECRETS_OF_ANOTHER_CLUSTER')
  rmSync(path('secrets.owner.json'))
  writeFileSync(path('secrets.yaml'), 'encrypted')
  assert.is((await problemOf(recover())).code, 'SECRETS_UNREADABLE')
  assert.is(readFileSync(path('secrets.yaml'), 'utf8'), 'encrypted')
})

it('secrets of another CA than that of the talosconfig are not taken', async () => {
  const ca = Buffer.from(createCa('/O=talos').cert).toString('base64')
  const text = readFileSync(path('talosconfig'), 'utf8').replace(/^( +ca: )\S+$/m, `$1${ca}`)
  writeFileSync(path('talosconfig'), text)
  const { code, because } = await problemOf(recover())
  assert.is(code, 'SECRETS_NOT_RECOVERED')
  assert.match(because ?? '', 'configs/home-cp1.yaml: the talosconfig has another CA')
  assert.not.ok(existsSync(path('secrets.yaml')))
})

it('a copy is taken where something confirms it', async () => {
  remove('configs')
  mkdirSync(path('archive/then'), { recursive: true })
  writeFileSync(path('archive/then/secrets.yaml'), secrets)
  assert.match((await recover()).output, 'talosconfig')
  assert.ok(isRecovered())
})

it('a copy is not taken where nothing confirms it, and the ways on are named', async () => {
  remove('configs', 'talosconfig', 'secrets.owner.json')
  mkdirSync(path('backups'))
  writeFileSync(path('backups/etcd-1.secrets.yaml'), secrets)
  const { because, hint } = await problemOf(recover())
  assert.match(because ?? '', 'backups/etcd-1.secrets.yaml: nothing confirms')
  assert.match(hint ?? '', 'scripts/start.ts --cluster home --machines-only')
  assert.not.ok(existsSync(path('secrets.yaml')))
})

it('without configs, a running control plane gives its own over the talosconfig that is left', async () => {
  const [controlPlane] = cluster.controlPlanes
  const config = readFileSync(path('configs/home-cp1.yaml'), 'utf8')
  remove('configs', 'secrets.owner.json')
  const { os } = (parse(secrets) as { certs: { os: { crt: string; key: string } } }).certs
  const decode = (text: string): string => Buffer.from(text, 'base64').toString()
  // Talos writes `BEGIN ED25519 PRIVATE KEY` where other programs write PRIVATE KEY.
  const key = decode(os.key).replaceAll('ED25519 PRIVATE', 'PRIVATE')
  const ca = createCa('/O=talos', { cert: decode(os.crt), key })
  const address = controlPlane?.address ?? ''
  const machine = await showMachine(address, { has: ca.issue('/CN=machine'), ca: ca.cert })
  const fake = fakeTalosctl((words, nodes) =>
    words.startsWith('get machineconfig')
      ? nodes.map((one) => resource(one, config)).join('')
      : versions(Object.fromEntries(nodes.map((one) => [one, 'v1.13.9']))),
  )
  const talosctl = { ...fake, offline: real?.offline ?? fake.offline }
  try {
    assert.match((await recover(false, talosctl)).output, 'the certificate of home-cp1')
  } finally {
    await machine.stop()
  }
  assert.ok(isRecovered())
  assert.equal(readdirSync(path('work')), [])
})

it('with nothing left, each place is named with what it lacks', async () => {
  remove('configs', 'secrets.owner.json')
  const { because } = await problemOf(
    recover(
      false,
      fakeTalosctl(() => ''),
    ),
  )
  assert.match(because ?? '', 'the machine config of home-cp1: 127.13.41.70')
  renameSync(path('talosconfig'), path('kubeconfig'))
  const nothing = await problemOf(recover())
  assert.match(nothing.because ?? '', 'no machine config, no copy and no talosconfig is left')
})

it('a cluster that was never created has nothing to recover, and is to be created', async () => {
  rmSync(cluster.generated, { recursive: true })
  const { code, hint } = await problemOf(recover())
  assert.is(code, 'NOT_STARTED')
  assert.match(hint ?? '', /^create it, .* npx nx run cluster:up$/m)
})

test.run()
