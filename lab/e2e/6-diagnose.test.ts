/** Faults made for real, one after the other: each is named first, within half a minute, and its remedy mends it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
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

interface Said {
  readonly diagnoses: readonly {
    readonly code: string
    readonly where: string | null
    readonly evidence: readonly string[]
    readonly remedy: readonly string[]
  }[]
  readonly unmet: readonly string[]
}

async function diagnose(overrides = right): Promise<Said & { readonly codes: string[] }> {
  const started = performance.now()
  const { output } = await run(
    ['node', '--import', 'tsx', 'scripts/diagnose.ts', '--cluster', 'lab', '--json'],
    overrides,
  )
  const seconds = (performance.now() - started) / 1000
  assert.ok(seconds < 30, `it took ${seconds} s`)
  const [json = ''] = /^\{[\s\S]*^\}/m.exec(output) ?? []
  const said = JSON.parse(json) as Said
  return { ...said, codes: said.diagnoses.map(({ code, where }) => `${code} ${where}`) }
}

/** Asks until something is named first that takes its time to show, such as what a boot brings. */
async function diagnoseUntil(first: string, withinMs = 240_000): Promise<string[]> {
  const until = Date.now() + withinMs
  let codes: string[] = []
  while (codes[0] !== first && Date.now() < until) codes = (await diagnose()).codes
  return codes
}

async function on<T>(work: (host: Host) => Promise<T>): Promise<T> {
  return withHost(cluster, work)
}

async function talos(name: string, ...args: string[]): Promise<void> {
  const address = cluster.nodes.find((node) => node.name === name)?.address ?? ''
  await access(cluster, 'talosctl', '-e', address, '-n', address, ...args)
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

async function switchOff(): Promise<void> {
  const stop = scriptOf('packages/vm/scripts/stop.ts', '--cluster', 'lab', '--force')
  assert.is((await run(stop, right)).code, 0)
}

async function assertWell(): Promise<void> {
  assert.is((await nx('bootstrap:health', right)).code, 0)
  const { codes, unmet } = await diagnose()
  assert.equal([...codes, ...unmet], [])
}

test('a gateway that nobody is, is named although the cluster comes up', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster(right)
  assert.is((await nx('cluster:up', wrongGateway)).code, 0)
  const { codes } = await diagnose(wrongGateway)
  assert.equal(codes, ['GATEWAY_SILENT root@10.213.77.2'])
})

test('machines that still use it are named once the settings are right', async () => {
  const { codes } = await diagnose()
  assert.equal(codes, [`GATEWAY_WRONG ${cp}`, `GATEWAY_WRONG ${w}`])
  assert.is((await nx('vm:create', right)).code, 0)
})

test('machines that are off are named', async () => {
  await switchOff()
  const { codes } = await diagnose()
  assert.equal(codes.slice(0, 2), [`MACHINE_OFF ${cp}`, `MACHINE_OFF ${w}`])
})

test('a guest agent without its channel, and a seed with another label', async () => {
  await edit(cp, (xml) => xml.replace(/\s*<channel[\s\S]*?<\/channel>/, ''))
  await on(
    ({ $ }) =>
      $`rm ${seed}; mkdir -p /tmp/seed; xorriso -as mkisofs -quiet -V config-2 -J -r -o ${seed} /tmp/seed`,
  )
  assert.is((await nx('vm:start', right)).code, 0)
  const codes = await diagnoseUntil(`AGENT_WITHOUT_CHANNEL ${cp}`)
  assert.equal(codes.slice(0, 2), [`AGENT_WITHOUT_CHANNEL ${cp}`, `SEED_LABEL_WRONG ${w}`])
  assert.is((await nx('vm:create', right)).code, 0)
  await switchOff()
})

test('a clock an hour ahead; nothing else is made of a machine that boots', async () => {
  await edit(w, (xml) =>
    xml.replace(/<clock offset='utc'/, "<clock offset='variable' adjustment='3600' basis='utc'"),
  )
  assert.is((await nx('vm:start', right)).code, 0)
  const { codes: booting, unmet } = await diagnose()
  assert.equal(booting, [])
  assert.ok(unmet.length > 0)
  assert.equal(await diagnoseUntil(`CLOCK_SKEWED ${w}`), [`CLOCK_SKEWED ${w}`])
  await edit(w, (xml) =>
    xml.replace(/<clock offset='variable'[^>]*?(\/?)>/, "<clock offset='utc'$1>"),
  )
  await on(({ $ }) => $`virsh destroy ${w}`)
})

test('too little memory', async () => {
  await on(
    ({ $ }) =>
      $`virsh setmaxmem ${w} 512M --config; virsh setmem ${w} 512M --config; virsh start ${w}`,
  )
  assert.is((await diagnose()).codes[0], `MEMORY_TOO_SMALL ${w}`)
  await on(({ $ }) => $`virsh destroy ${w}`)
})

test('a machine that its full storage has paused', async () => {
  await on(async ({ $ }) => {
    await $`mkdir -p /srv/small; mount -t tmpfs -o size=3g tmpfs /srv/small; mv ${disk} /srv/small/; ln -s /srv/small/${w}.qcow2 ${disk}`
    await $`mount -o remount,size=$(( $(du -sk /srv/small | cut -f 1) + 64 ))k /srv/small`
  })
  // It has its memory again from here on.
  assert.is((await nx('vm:create', right)).code, 0)
  assert.is((await nx('bootstrap:health', right)).code, 0)
  // What it pulls is more than there is room for; it goes on once there is.
  const pulling = talos(w, 'image', 'pull', 'registry.k8s.io/kube-apiserver:v1.36.3').catch(() => 0)
  assert.is((await diagnoseUntil(`PAUSED_BY_DISK ${w}`))[0], `PAUSED_BY_DISK ${w}`)
  await on(({ $ }) => $`mount -o remount,size=3g /srv/small`)
  assert.is((await nx('vm:start', right)).code, 0)
  await pulling
  await assertWell()
})

test('a machine that was paused', async () => {
  await on(({ $ }) => $`virsh suspend ${w}`)
  assert.is((await diagnose()).codes[0], `MACHINE_PAUSED ${w}`)
  // A stage that fails says so by itself, and keeps what it saw.
  const { code, output } = await run(
    scriptOf('packages/bootstrap/scripts/health.ts', '--cluster', 'lab'),
    { ...right, HEALTH_TIMEOUT: '10s', FAILURE_BUNDLE: 'true' },
  )
  assert.is(code, 1)
  assert.match(output, `likely cause: MACHINE_PAUSED on ${w}`)
  assert.match(output, /without secrets: \S+\/bundles\/\S+\.tar\.zst/)
  assert.is((await nx('vm:start', right)).code, 0)
})

test('another machine with the same address', async () => {
  const address = cluster.nodes.find(({ name }) => name === w)?.address ?? ''
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

test('a port that somebody blocks between here and the machine', async () => {
  const address = cluster.nodes.find(({ name }) => name === w)?.address ?? ''
  const rule = ['FORWARD', '-p', 'IPv4', '--ip-dst', address, '--ip-proto', 'tcp']
  const blocked = [...rule, '--ip-dport', '50000', '-j', 'DROP']
  await on(({ $ }) => $`ebtables -A ${blocked}`)
  const { codes } = await diagnose()
  await on(({ $ }) => $`ebtables -D ${blocked}`)
  assert.is(codes[0], `PORT_BLOCKED ${w}`)
})

test('a kubelet that was stopped', async () => {
  await talos(w, 'service', 'kubelet', 'stop')
  const { codes, diagnoses } = await diagnose()
  await talos(w, 'service', 'kubelet', 'start')
  assert.is(codes[0], `KUBELET_STOPPED ${w}`)
  assert.match(diagnoses[0]?.remedy[0] ?? '', 'service kubelet start')
})

test('a member of etcd that was stopped', async () => {
  await talos(cp, 'service', 'etcd', 'stop')
  const { codes } = await diagnose()
  await talos(cp, 'service', 'etcd', 'start')
  assert.is(codes[0], `ETCD_STOPPED ${cp}`)
  assert.ok(codes.includes('ETCD_NO_QUORUM null'))
})

test('nothing is wrong in the end', async () => {
  // The API server finds its etcd again in its own time.
  await sleep(5000)
  await assertWell()
  await removeCluster(right)
  await on(({ $ }) => $`umount /srv/small`)
})

test.run()
