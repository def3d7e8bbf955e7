/** Real failures, one after the other: each is reported first, within half a minute, and its remedy fixes it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { local } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  addressOf,
  ask,
  cp,
  diagnose,
  diagnoseUntil,
  disk,
  fix,
  fixed,
  on,
  right,
  talos,
  w,
} from './diagnosis.ts'
import { leaksIn } from './leaks.ts'
import { records } from './record.ts'
import { nx, removeCluster, run, scriptOf } from './support.ts'

const wrongGateway = { ...right, NETWORK_GATEWAY: '10.213.77.99' }
const seed = `/var/lib/libvirt/images/${w}-seed.iso`

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
  // An emulated machine can be too busy to list its alarms in time; a problem is never reported.
  let report = await diagnose()
  for (let tries = 0; tries < 5 && report.unmet.length > 0; tries++) {
    assert.equal(report.codes, [])
    report = await diagnose()
  }
  assert.equal([...report.codes, ...report.unmet], [])
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
    `hosts/.*/${w}-console\\.log\\n`,
    'kubernetes/events\\.json',
    'talos-support/.',
  ])
    assert.match(names, new RegExp(part))
  // Whole pods would hold their environment.
  assert.not.match(names, /systemPods|\/processes$/m)
  const content = temporaryFolder('bundle')
  await local.$`tar -I zstd -xf ${bundle} -C ${content}`
  assert.equal(await leaksIn({ paths: [content] }), [])
  assert.equal(await leaksIn({ paths: [records.output] }), [])
  const keys = await local.$({
    nothrow: true,
  })`grep -rlE ${'-----BEGIN [A-Z0-9 ]*PRIVATE KEY'} ${content}`
  assert.is(keys.stdout, '')
  await fix(report, `MACHINE_PAUSED ${w}`)
})

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

test.run()
