import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { local, openHost, Problem, silentLog, type Host } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import * as assert from 'uvu/assert'
import doctor from '../doctor.ts'
import { runChecks } from '../doctor/preflight.ts'
import { renderChecks, type Check } from '../doctor/check.ts'
import type { Made } from './support/made-cluster.ts'
import { madeSuite } from './support/made-suite.ts'

/** The host has the finished machines; this machine has only the programs that a test installs. */
const test = madeSuite('doctor', (made) => ({
  path: `${made.path('bin')}:/usr/bin:/bin`,
  cache: made.path('nothing'),
}))

type Settings = Readonly<Record<string, string>>
const clusterOf = (made: Made, settings: Settings = {}) =>
  testCluster({ CLUSTER_NAME: made.cluster.name, ...settings }, made.root)

/** A talosctl that generates machine configs; it rejects a patch that contains `bad`. */
function putTalosctl(made: Made, version: string): void {
  const program = `#!/bin/bash
case "$1 $2" in
  version*) echo "Talos ${version}" ;;
  "machineconfig patch")
    for arg; do case $arg in --patch=@*) grep -q bad "\${arg#--patch=@}" && { echo 'unknown keys found: bad' >&2; exit 1; } ;; esac; done
    for arg; do case $arg in --output=*) touch "\${arg#--output=}" ;; esac; done ;;
esac
`
  writeFileSync(made.path('bin/talosctl'), program, { mode: 0o755 })
}

function putSecrets(made: Made, text: string | undefined): void {
  for (const name of ['secrets.yaml', 'secrets.owner.json']) rmSync(`${made.generated}/${name}`)
  if (text !== undefined) writeFileSync(`${made.generated}/secrets.yaml`, text, { mode: 0o600 })
}

function putPatch(made: Made, text: string): void {
  const path = `${made.cluster.patchesDir}/worker.yaml`
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

async function check(
  made: Made,
  {
    settings = {},
    hosts = [Promise.resolve(local)],
    quick = true,
  }: { settings?: Settings; hosts?: readonly Promise<Host>[]; quick?: boolean } = {},
): Promise<Check[]> {
  const { signal } = new AbortController()
  const cluster = clusterOf(made, settings)
  return runChecks({ cluster, eachHost: () => hosts, signal }, { quick })
}

const lineOf = (checks: readonly Check[], name: string): string =>
  checks
    .filter((one) => one.check === name)
    .map(({ verdict, detail, code, remedy }) => {
      const named = code === undefined ? '' : ` (${code})`
      return `${verdict}: ${detail}${named}${remedy ? ` -> ${remedy}` : ''}`
    })
    .join('\n')

test('lost secrets fail, except in the quick checks that a restore begins with', async ({
  made,
}) => {
  rmSync(`${made.generated}/secrets.yaml`)
  const line = lineOf(await check(made, { quick: false }), 'secrets')
  assert.match(line, /^fail: .*secrets\.yaml is missing.*\(SECRETS_LOST\) -> /)
  assert.match(line, 'bootstrap:recover-secrets')
  assert.is(lineOf(await check(made), 'secrets'), '')
})

test('a lost disk fails, except in the quick checks that a restore begins with', async ({
  made,
}) => {
  const [node] = made.cluster.nodes
  rmSync(`${made.pool}/${node?.name}.qcow2`)
  const line = lineOf(await check(made, { quick: false }), 'machines')
  assert.match(line, /^fail: the disk of .* is missing: .*\(DISK_LOST\) -> /)
  assert.is(lineOf(await check(made), 'machines'), '')
})

test('a pool that lacks every disk and seed ISO fails, also in the quick checks', async ({
  made,
}) => {
  for (const { name } of made.cluster.nodes)
    for (const suffix of ['.qcow2', '-seed.iso']) rmSync(`${made.pool}/${name}${suffix}`)
  rmSync(`${made.pool}/${made.cluster.name}-w9.qcow2`)
  assert.match(lineOf(await check(made), 'storage pool'), /fail: the pool .*\(POOL_EMPTY\) -> /)
})

test('a pool whose folder is gone is named as that, beside machines and without them', async ({
  made,
}) => {
  renameSync(made.pool, `${made.pool}.away`)
  const line = lineOf(await check(made), 'storage pool')
  assert.match(line, /fail: the pool .*\(POOL_EMPTY\) -> /)
  assert.match(line, `fail: the folder ${made.pool} of the pool default on this machine cannot`)
  assert.match(line, /No such file or directory \(POOL_UNREADABLE\) -> .*virsh pool-build default/)
  assert.not.match(line, 'POOL_FULL')
  rmSync(made.path('domains'), { recursive: true })
  mkdirSync(made.path('domains'))
  const alone = await check(made)
  assert.match(lineOf(alone, 'storage pool'), 'POOL_UNREADABLE')
  assert.not.match(lineOf(alone, 'storage pool'), /POOL_EMPTY|POOL_FULL/)
  assert.not(existsSync(made.pool))
})

test('a program that is not installed fails, with where to get it', async ({ made }) => {
  const line = lineOf(await check(made), 'talosctl')
  assert.match(line, /^fail: talosctl was not found on PATH .*\(TOOL_MISSING\) -> get talosctl /)
})

test('a program of another version is reported with its path and version', async ({ made }) => {
  putTalosctl(made, 'v1.5.0')
  const line = lineOf(await check(made), 'talosctl')
  assert.match(line, /^fail: no talosctl fits .*\(TOOL_UNFIT\)/)
  assert.match(line, `${made.path('bin/talosctl')} is v1.5.0`)
})

test('a missing kubectl is a warning; storage requires helm', async ({ made }) => {
  const without = await check(made)
  assert.match(lineOf(without, 'kubectl'), /^warning: /)
  assert.is(lineOf(without, 'helm'), '')
  const settings = { NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv' }
  const checks = await check(made, { settings })
  assert.match(lineOf(checks, 'kubectl'), /^warning: /)
  assert.match(lineOf(checks, 'helm'), /^fail: /)
})

test('--quick finds secrets of another cluster', async ({ made }) => {
  putTalosctl(made, 'v1.13.9')
  assert.match(lineOf(await check(made), 'settings'), /^fail: .*\(SECRETS_OF_ANOTHER_CLUSTER\)/)
})

test('--quick finds a secrets.yaml without secrets', async ({ made }) => {
  putTalosctl(made, 'v1.13.9')
  putSecrets(made, 'nothing: here\n')
  assert.match(lineOf(await check(made), 'settings'), /^fail: .*\(SECRETS_UNREADABLE\)/)
})

test('--quick finds a patch that Talos rejects, before there are secrets', async ({ made }) => {
  putTalosctl(made, 'v1.13.9')
  putSecrets(made, undefined)
  putPatch(made, 'machine: {bad: 1}\n')
  const line = lineOf(await check(made), 'settings')
  assert.match(line, /^fail: .*unknown keys found: bad \(CONFIG_INVALID\) -> correct .*worker/)
  putPatch(made, 'machine: {nodeLabels: {a: b}}\n')
  assert.match(lineOf(await check(made), 'settings'), /^ok: 3 machines, Talos v1\.13\.9/)
})

for (const code of ['SSH_HOST_KEY_UNKNOWN', 'SSH_HOST_KEY_CHANGED'])
  test(`${code} fails for one host; the other host is checked`, async ({ made }) => {
    const refused = Promise.reject(
      new Problem(code, 'the key of kvm2', { hint: 'ssh-keyscan kvm2' }),
    )
    const settings = { LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@kvm2/system' }
    const checks = await check(made, { settings, hosts: [Promise.resolve(local), refused] })
    assert.match(
      lineOf(checks, 'access'),
      new RegExp(`^ok: connected as .*\nfail: the key of kvm2 \\(${code}\\) -> ssh-keyscan kvm2$`),
    )
    assert.is(checks.at(-1)?.area, 'qemu+ssh://root@kvm2/system')
  })

test('a host without an SSH server fails', async ({ made }) => {
  const uri = 'qemu+ssh://root@127.0.0.1:1/system'
  const settings = { LIBVIRT_URI: uri }
  const checks = await check(made, { settings, hosts: [openHost(uri, made.root)] })
  assert.match(lineOf(checks, 'access'), /^fail: .*\(SSH_CONNECTION_REFUSED\)/)
})

test('a factory that does not answer fails, from this machine and from the host', async ({
  made,
}) => {
  const settings = { TALOS_FACTORY_URL: 'http://127.0.0.1:1' }
  rmSync(`${made.pool}/${made.cluster.image.fileName}`)
  const checks = await check(made, { settings, quick: false })
  assert.match(lineOf(checks, 'version and extensions'), /^fail: .*\(FACTORY_UNREACHABLE\)/)
  assert.match(lineOf(checks, 'Image Factory'), /^fail: the host cannot reach http:/)
})

test('a copied env file of a cluster that exists fails for a new cluster, and warns a started one', async ({
  made,
}) => {
  mkdirSync(made.path('env'))
  writeFileSync(made.path('env/b.env'), 'CLUSTER_NAME=talosmith-test-b\nNETWORK_BRIDGE=br0\n')
  assert.match(lineOf(await check(made), 'other clusters'), /^warning: .*\(ADDRESS_TAKEN\) -> /)
  rmSync(`${made.generated}/kubeconfig`)
  assert.match(lineOf(await check(made), 'other clusters'), /^fail: 10\.0\.0\.70 is .*b\.env/)
})

test('the route of this machine to the machines is a check of each host', async ({ made }) => {
  const line = lineOf(await check(made, { settings: onNetwork }), 'route')
  assert.match(line, /^(?:ok|warning): .*10\.0\.0\.0\/24/)
})

const onNetwork = {
  TALOS_FACTORY_URL: 'http://127.0.0.1:1',
  NETWORK_BRIDGE: '',
  NETWORK_NAME: 'default',
}

async function runDoctor(made: Made, { json = false, quick = false } = {}) {
  const answers: unknown[] = []
  const context = {
    cluster: clusterOf(made, onNetwork),
    log: silentLog,
    json,
    options: { quick },
    signal: new AbortController().signal,
    hosts: async () => [local],
    eachHost: () => [Promise.resolve(local)],
    answer: (value: unknown) => void answers.push(value),
  } as unknown as Parameters<typeof doctor.run>[0]
  return { code: await doctor.run(context), answers }
}

test('the JSON is one object with all checks; exit code 1', async ({ made }) => {
  const { code, answers } = await runDoctor(made, { json: true })
  assert.is(code, 1)
  const [answer, ...others] = answers as { cluster: string; checks: Record<string, unknown>[] }[]
  assert.equal(others, [])
  assert.is(answer?.cluster, made.cluster.name)
  for (const one of answer?.checks ?? []) {
    const { remedy, code: _code, ...always } = one
    assert.equal(Object.keys(always).sort(), ['area', 'check', 'says', 'verdict'])
    assert.is(remedy === undefined, one['verdict'] === 'ok', JSON.stringify(one))
  }
  // The host is this machine, too.
  const areas = new Set(answer?.checks.map(({ area }) => area))
  assert.equal([...areas], ['this machine', 'Image Factory'])
})

test('--quick prints failed checks and warnings, nothing else', async ({ made }) => {
  const { code, answers } = await runDoctor(made, { quick: true })
  assert.is(code, 1)
  assert.match(String(answers[0]), 'TOOL_MISSING')
  assert.not.match(String(answers[0]), /^ {2}ok /m)
  const found = (await check(made, { settings: onNetwork })).filter(
    ({ verdict }) => verdict === 'warning',
  )
  for (const { detail } of found) assert.ok(String(answers[0]).includes(detail), detail)
})

test('--quick prints no check that is ok; exit code 0 with warnings', async ({ made }) => {
  putTalosctl(made, 'v1.13.9')
  putSecrets(made, undefined)
  for (const tool of ['qemu-img', 'xorriso'])
    writeFileSync(made.path(`bin/${tool}`), '#!/bin/sh\n', { mode: 0o755 })
  const { code, answers } = await runDoctor(made, { quick: true })
  const found = (await check(made, { settings: onNetwork })).filter(
    ({ verdict }) => verdict !== 'ok',
  )
  assert.equal(answers, found.length === 0 ? [] : [renderChecks(found)])
  assert.is(code, 0)
})

test.run()
