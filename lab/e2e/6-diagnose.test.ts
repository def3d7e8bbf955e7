/** Real failures, one after the other: each is reported first, within half a minute, and its remedy fixes it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { local, type Host } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import {
  access,
  labCluster,
  nx,
  removeCluster,
  run,
  scriptOf,
  withHost,
  type Overrides,
} from './support.ts'

const right: Overrides = {
  CLUSTER_NAME: 'labdx',
  WORKER_COUNT: '1',
  NFS_SERVER: '',
  TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
}
const wrongGateway = { ...right, NETWORK_GATEWAY: '10.213.77.99' }
const cluster = await labCluster(right)
const [cp, w] = ['labdx-cp1', 'labdx-w1']
const disk = `/var/lib/libvirt/images/${w}.qcow2`
const seed = `/var/lib/libvirt/images/${w}-seed.iso`

interface Diagnosis {
  readonly code: string
  readonly where: string | null
  readonly evidence: readonly string[]
  readonly remedy: readonly string[]
}

interface Report {
  readonly diagnoses: readonly Diagnosis[]
  readonly unmet: readonly string[]
  /** Each with its machine. */
  readonly codes: readonly string[]
}

/** What a remedy has fixed, and must not be reported again. */
const fixed = new Set<string>()
const nameOf = ({ code, where }: Diagnosis): string => `${code} ${where}`

/** A script of the project that answers with JSON. */
async function ask<T>(path: string, overrides: Overrides): Promise<T> {
  const { output } = await run(
    ['node', '--import', 'tsx', path, '--cluster', 'lab', '--json'],
    overrides,
  )
  return JSON.parse(/^\{[\s\S]*^\}/m.exec(output)?.[0] ?? '') as T
}

async function diagnose(overrides = right): Promise<Report> {
  const started = performance.now()
  const report = await ask<Omit<Report, 'codes'>>('scripts/diagnose.ts', overrides)
  const seconds = (performance.now() - started) / 1000
  assert.ok(seconds < 30, `it took ${seconds} s`)
  const codes = report.diagnoses.map(nameOf)
  for (const code of fixed) assert.not(codes.includes(code), `${code} was reported again`)
  return { ...report, codes }
}

/** Repeats the diagnosis until a code that takes time to show, such as one of a boot, is reported first. */
async function diagnoseUntil(first: string, withinMs = 240_000): Promise<Report> {
  const until = Date.now() + withinMs
  let report = await diagnose()
  while (report.codes[0] !== first && Date.now() < until) report = await diagnose()
  assert.is(report.codes[0], first)
  return report
}

/** Runs the commands of a diagnosis' remedy, up to its alternatives. */
async function fix({ diagnoses }: Report, code: string): Promise<void> {
  const remedy = diagnoses.find((one) => nameOf(one) === code)?.remedy ?? []
  const other = remedy.findIndex((line) => line.startsWith('# or '))
  const lines = remedy
    .slice(0, other < 0 ? undefined : other)
    .filter((line) => !line.startsWith('#'))
  assert.ok(lines.length > 0, `${code} has no remedy to run`)
  for (const line of lines) await runLine(line)
  fixed.add(code)
}

async function runLine(line: string): Promise<void> {
  const target = /npx nx run (\S+)$/.exec(line)?.[1]
  if (target !== undefined) assert.is((await nx(target, right)).code, 0, line)
  else if (line.startsWith('talosctl --talosconfig '))
    await access(cluster, 'talosctl', ...line.split(' ').slice(3))
  else await on(({ $ }) => $({ timeoutMs: 300_000 })`bash -c ${line}`)
}

async function on<T>(work: (host: Host) => Promise<T>): Promise<T> {
  return withHost(cluster, work)
}

async function talos(name: string, ...args: string[]): Promise<void> {
  const address = addressOf(name)
  await access(cluster, 'talosctl', '-e', address, '-n', address, ...args)
}

function addressOf(name: string): string {
  return cluster.nodes.find((node) => node.name === name)?.address ?? ''
}

/** Changes a domain's definition, as `virsh edit` does. */
async function edit(name: string, change: (xml: string) => string): Promise<void> {
  await on(async ({ $ }) => {
    const { stdout } = await $`virsh dumpxml --inactive ${name}`
    const changed = change(stdout)
    assert.is.not(changed, stdout)
    await $`virsh define <(printf %s ${changed})`
  })
}

async function powerOff(): Promise<void> {
  const stop = scriptOf('scripts/stop.ts', '--cluster', 'lab', '--force')
  assert.is((await run(stop, right)).code, 0)
}

async function powerOn(): Promise<void> {
  // Without the option it waits for a healthy cluster, which this one is not.
  const start = scriptOf('scripts/start.ts', '--cluster', 'lab', '--machines-only')
  assert.is((await run(start, right)).code, 0)
}

async function assertHealthy(): Promise<void> {
  assert.is((await nx('bootstrap:health', right)).code, 0)
  const { codes, unmet } = await diagnose()
  assert.equal([...codes, ...unmet], [])
  const { checks } = await ask<{ checks: { verdict: string }[] }>('scripts/doctor.ts', right)
  assert.ok(checks.length > 10, `${checks.length} checks`)
  assert.equal(
    checks.filter(({ verdict }) => verdict === 'fail'),
    [],
  )
}

test('a gateway that does not answer is reported although the cluster starts', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster(right)
  assert.is((await nx('cluster:up', wrongGateway)).code, 0)
  const { codes } = await diagnose(wrongGateway)
  assert.equal(codes, ['GATEWAY_SILENT root@10.213.77.2'])
})

test('machines that still use it are reported once the settings are right', async () => {
  const { codes } = await diagnose()
  assert.equal(codes, [`GATEWAY_WRONG ${cp}`, `GATEWAY_WRONG ${w}`])
  assert.is((await nx('vm:create', right)).code, 0)
})

test('machines that are off are reported', async () => {
  await powerOff()
  const { codes } = await diagnose()
  assert.equal(codes.slice(0, 2), [`MACHINE_OFF ${cp}`, `MACHINE_OFF ${w}`])
})

test('a guest agent without its channel, and a seed with another label', async () => {
  await edit(cp, (xml) => xml.replace(/\s*<channel[\s\S]*?<\/channel>/, ''))
  await edit(w, (xml) =>
    xml.replace(/<clock offset='utc'/, "<clock offset='variable' adjustment='3600' basis='utc'"),
  )
  await on(async ({ $ }) => {
    await $`rm ${seed}; mkdir -p /tmp/seed; xorriso -as mkisofs -quiet -V config-2 -J -r -o ${seed} /tmp/seed`
    // A file system that can be filled later.
    await $`mkdir -p /srv/small; mount -t tmpfs -o size=3g tmpfs /srv/small; mv ${disk} /srv/small/; ln -s /srv/small/${w}.qcow2 ${disk}`
  })
  await powerOn()
  const report = await diagnoseUntil(`GUEST_AGENT_CHANNEL_MISSING ${cp}`)
  assert.equal(report.codes.slice(0, 2), [
    `GUEST_AGENT_CHANNEL_MISSING ${cp}`,
    `SEED_LABEL_WRONG ${w}`,
  ])
  await fix(report, `GUEST_AGENT_CHANNEL_MISSING ${cp}`)
  await fix(report, `SEED_LABEL_WRONG ${w}`)
})

test('a clock an hour ahead; nothing else is reported of a booting machine', async () => {
  const { codes: booting, unmet } = await diagnose()
  assert.equal(
    booting.filter((code) => code !== `CLOCK_SKEWED ${w}`),
    [],
  )
  assert.ok(booting.length + unmet.length > 0)
  const report = await diagnoseUntil(`CLOCK_SKEWED ${w}`)
  assert.equal(report.codes, [`CLOCK_SKEWED ${w}`])
  // The host is right again, and the next failure takes effect with the start that fixes this one.
  await edit(w, (xml) =>
    xml.replace(/<clock offset='variable'[^>]*?(\/?)>/, "<clock offset='utc'$1>"),
  )
  await on(({ $ }) => $`virsh setmaxmem ${w} 512M --config; virsh setmem ${w} 512M --config`)
  await fix(report, `CLOCK_SKEWED ${w}`)
})

test('too little memory', async () => {
  const report = await diagnose()
  assert.is(report.codes[0], `MEMORY_TOO_SMALL ${w}`)
  await fix(report, `MEMORY_TOO_SMALL ${w}`)
})

test('a machine paused by full storage', async () => {
  assert.is((await nx('bootstrap:health', right)).code, 0)
  await on(
    ({ $ }) => $`mount -o remount,size=$(( $(du -sk /srv/small | cut -f 1) + 64 ))k /srv/small`,
  )
  // What it pulls does not fit; it continues once there is space.
  const pulling = talos(w, 'image', 'pull', 'registry.k8s.io/kube-apiserver:v1.36.3').catch(() => 0)
  const report = await diagnoseUntil(`PAUSED_BY_DISK ${w}`)
  await on(({ $ }) => $`mount -o remount,size=3g /srv/small`)
  await fix(report, `PAUSED_BY_DISK ${w}`)
  await pulling
  await assertHealthy()
})

test('a machine that was paused; the bundle of a failed stage has everything but secrets', async () => {
  await on(({ $ }) => $`virsh suspend ${w}`)
  const report = await diagnose()
  assert.is(report.codes[0], `MACHINE_PAUSED ${w}`)
  // A stage that fails reports the likely cause by itself, and writes a bundle.
  const { code, output } = await run(
    scriptOf('packages/bootstrap/scripts/health.ts', '--cluster', 'lab'),
    { ...right, HEALTH_TIMEOUT: '10s', FAILURE_BUNDLE: 'true' },
  )
  assert.is(code, 1)
  assert.match(output, `likely cause: MACHINE_PAUSED on ${w}`)
  const bundle = /without secrets: (\S+\/bundles\/\S+\.tar\.zst)/.exec(output)?.[1] ?? ''
  const names = (await local.$`tar -I zstd -tf ${bundle}`).stdout
  for (const part of [
    `hosts/.*/${w}\\.xml`,
    `hosts/.*/${w}-console\\.log`,
    'kubernetes/events\\.json',
    'talos-support/.',
  ])
    assert.match(names, new RegExp(part))
  const text = (await local.$`tar -I zstd -xOf ${bundle}`).stdout
  const secrets = ['secrets.yaml', 'talosconfig', 'kubeconfig'].flatMap((name) =>
    secretsIn(parse(readFileSync(join(cluster.generated, name), 'utf8'))),
  )
  assert.ok(secrets.length > 5, `${secrets.length} secrets`)
  // Not in the message either, should one be there.
  assert.is(secrets.filter((secret) => text.includes(secret)).length, 0)
  assert.not.match(text, /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/)
  await fix(report, `MACHINE_PAUSED ${w}`)
})

/** Keys and tokens, by the names that our three files have for them. */
function secretsIn(value: unknown, name = ''): string[] {
  if (typeof value === 'string')
    return /(?:key|key-data|token|secret)$/i.test(name) && value.length >= 16 ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => secretsIn(inner, key))
}

test('another machine with the same address', async () => {
  const address = addressOf(w)
  const { stdout } = await on(
    ({ $ }) => $`
unshare --net sleep 300 >/dev/null 2>&1 & pid=$!
sleep 1
ip link add twin0 type veth peer name twin1
ip link set twin1 master br0 up
ip link set twin0 netns $pid
nsenter -t $pid -n ip addr add ${address}/24 dev twin0
nsenter -t $pid -n ip link set twin0 up
echo $pid`,
  )
  const { codes, diagnoses } = await diagnose()
  await on(({ $ }) => $`kill ${stdout.trim()}; ip link del twin1 2>/dev/null || true`)
  assert.is(codes[0], `ADDRESS_TAKEN ${w}`)
  assert.match(diagnoses[0]?.evidence.join() ?? '', `answers for ${address}`)
})

test('a port blocked between here and the machine', async () => {
  const address = addressOf(w)
  const rule = ['FORWARD', '-p', 'IPv4', '--ip-dst', address, '--ip-proto', 'tcp']
  const blocked = [...rule, '--ip-dport', '50000', '-j', 'DROP']
  await on(({ $ }) => $`ebtables -A ${blocked}`)
  const { codes } = await diagnose()
  await on(({ $ }) => $`ebtables -D ${blocked}`)
  assert.is(codes[0], `PORT_BLOCKED ${w}`)
})

test('a stopped kubelet', async () => {
  await talos(w, 'service', 'kubelet', 'stop')
  const report = await diagnose()
  assert.is(report.codes[0], `KUBELET_STOPPED ${w}`)
  await fix(report, `KUBELET_STOPPED ${w}`)
})

test('a stopped etcd member', async () => {
  await talos(cp, 'service', 'etcd', 'stop')
  const report = await diagnose()
  assert.is(report.codes[0], `ETCD_STOPPED ${cp}`)
  assert.ok(report.codes.includes('ETCD_NO_QUORUM null'))
  await fix(report, `ETCD_STOPPED ${cp}`)
  fixed.add('ETCD_NO_QUORUM null')
})

test('in the end there is no problem', async () => {
  // The API server takes a moment to reconnect to etcd.
  await sleep(5000)
  await assertHealthy()
})

test('no problem is reported of a cluster with two fifths of its CPU time', async () => {
  const stop = '/tmp/throttle-stop'
  // It ends by itself, should this test be killed.
  const throttle = `
pids=$(cat /run/libvirt/qemu/${cp}.pid /run/libvirt/qemu/${w}.pid)
trap 'kill -CONT $pids' EXIT
end=$((SECONDS + 150))
while [ $SECONDS -lt $end ] && [ ! -e ${stop} ]; do
  kill -STOP $pids; sleep 0.06; kill -CONT $pids; sleep 0.04
done`
  await on(({ $ }) => $`rm -f ${stop}; setsid bash -c ${throttle} </dev/null >/dev/null 2>&1 &`)
  try {
    await sleep(10_000)
    for (let round = 0; round < 2; round++) assert.equal((await diagnose()).codes, [])
  } finally {
    await on(({ $ }) => $`touch ${stop}; sleep 1; rm ${stop}`)
  }
})

test('a machine whose boots all fail', async () => {
  await on(async ({ $ }) => {
    await $`virsh destroy ${w}`
    // The file system of EPHEMERAL is still known as one, and cannot be mounted any more.
    const table =
      await $`rm -f /tmp/gpt; qemu-img dd -f qcow2 -O raw if=${disk} of=/tmp/gpt bs=512 count=34 && base64 -w0 /tmp/gpt`
    const start = partitionStart(Buffer.from(table.stdout, 'base64'), 'EPHEMERAL')
    const logBlockSize = start + 1024 + 0x18
    await $`qemu-io -f qcow2 -c ${`write -P 0xff ${logBlockSize} 4`} ${disk}`
    await $`virsh start ${w}`
  })
  await diagnoseUntil(`BOOT_LOOP ${w}`)
})

test('the cluster is removed', async () => {
  await removeCluster(right)
  await on(({ $ }) => $`umount /srv/small`)
})

/** Where a partition begins, in bytes, by a GPT with its 128 entries of 128 bytes each in the third sector. */
function partitionStart(disk: Buffer, label: string): number {
  for (let entry = 1024; entry < disk.length; entry += 128)
    if (disk.toString('utf16le', entry + 56, entry + 128).replace(/\0.*$/s, '') === label)
      return Number(disk.readBigUInt64LE(entry + 32)) * 512
  throw new Error(`no partition ${label}`)
}

test.run()
