import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { local, projectRoot, type Host } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { plant } from './planted.ts'
import { assertRefused } from './refused.ts'
import { secondCheckout } from './second-checkout.ts'
import {
  access,
  stateDigest,
  killWhen,
  kubernetesNodes,
  labCluster,
  nx,
  run,
  scriptOf,
  withHost,
} from './support.ts'

const cluster = await labCluster()
const confirmed = { CONFIRM: cluster.name }
const pool = '/var/lib/libvirt/images'
const bystander = `<domain type='qemu'><name>lab-bystander</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os><devices>
  <disk type='file' device='disk'><source file='${pool}/lab-bystander.qcow2'/><target dev='vda'/></disk>
  </devices></domain>`

/** Everything of the cluster on the host: domains, files in all folders of libvirt, console logs. */
const ofCluster = (): Promise<string[]> =>
  withHost(cluster, async ({ $ }) => {
    const { stdout } =
      await $`virsh -q list --all --name; find /var/lib/libvirt /etc/libvirt /var/log/libvirt`
    return stdout.split('\n').filter((line) => /lab-(cp|w)\d/.test(line))
  })
const bystanders = (): Promise<string> =>
  withHost(cluster, async ({ $ }) => {
    const { stdout } = await $`virsh dumpxml --inactive lab-bystander
sha256sum ${`${pool}/lab-bystander.qcow2`} ${`${pool}/lab-w9.qcow2`}
ls ${pool}/talos-*.raw`
    return stdout
  })
const inRemoved = (name: string): string => join(cluster.generated, 'removed', name)

test('a cluster is up, beside a machine and a volume that do not belong to it', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  await withHost(cluster, async ({ $ }: Host) => {
    await $`qemu-img create -q -f qcow2 ${`${pool}/lab-bystander.qcow2`} 1M`
    await $`qemu-img create -q -f qcow2 ${`${pool}/lab-w9.qcow2`} 1M`
    await $`virsh -q define <(printf %s ${bystander})`
  })
})

test('cluster:destroy without CONFIRM lists everything, and changes nothing', async () => {
  const before = await stateDigest(cluster)
  for (const CONFIRM of ['', 'home']) {
    const { code, output } = await nx('cluster:destroy', { CONFIRM })
    assert.is.not(code, 0)
    assert.match(output, 'CONFIRM_MISSING')
    for (const { name } of cluster.nodes) {
      assert.match(output, `Remove virtual machine ${name}`)
      assert.match(output, `${pool}/${name}.qcow2 (`)
      assert.match(output, `${name}-seed.iso`)
    }
    assert.match(output, /Remove virtual machine lab-cp1.* \(.*NVRAM \d+ KiB, logs \d+ KiB\)/)
    for (const thing of [
      ...['Remove StorageClass nfs-appdata', 'Remove the NFS driver'],
      ...['kubeconfig (', 'talosconfig (', 'secrets.yaml (', 'hosts.json ('],
    ])
      assert.match(output, thing)
    assert.match(output, `left alone: ${pool}/lab-w9.qcow2`)
    assert.not.match(output, 'lab-bystander')
  }
  assert.is(await stateDigest(cluster), before)
})

test('the script exits with 1 without CONFIRM, and with 2 after a dry run', async () => {
  assert.is((await run(scriptOf('scripts/confirm-destroy.ts'))).code, 1)
  assert.is((await run(scriptOf('scripts/confirm-destroy.ts', '--dry-run'))).code, 2)
})

test('FINAL_SNAPSHOT backs up etcd first, with the secrets, readable by its owner only', async () => {
  await access(cluster, 'kubectl', 'create', 'configmap', 'kept')
  const settings = { ...confirmed, FINAL_SNAPSHOT: 'true' }
  assert.is((await run(scriptOf('scripts/confirm-destroy.ts'), settings)).code, 0)
  const folder = join(cluster.generated, 'backups')
  const secrets = readdirSync(folder).find((name) => name.endsWith('.secrets.yaml')) ?? ''
  const snapshot = secrets.replace('.secrets.yaml', '.db')
  assert.ok(statSync(join(folder, snapshot)).size > 100_000)
  for (const name of [secrets, snapshot])
    assert.is(statSync(join(folder, name)).mode & 0o777, 0o600)
})

// Killed wherever its output shows the place, and run again each time: the next run must not be blocked.
// The machines' stage is repeated until it succeeds.
test('is killed after each stage and inside the fourth, and the next run continues', async () => {
  const points: [string, RegExp][] = [
    ['scripts/confirm-destroy.ts', /left alone/],
    ['packages/storage/scripts/destroy.ts', /• Remove StorageClass/],
    ['packages/storage/scripts/destroy.ts', /✓ Remove the NFS driver|• Remove the NFS driver/],
    ['packages/bootstrap/scripts/remove-access.ts', /✓ Set aside .*kubeconfig/],
    ['packages/bootstrap/scripts/remove-access.ts', /✓ Set aside .*talosconfig/],
    ['packages/bootstrap/scripts/remove-config.ts', /✓ Set aside .*made-of/],
    ['packages/bootstrap/scripts/remove-config.ts', /✓ Set aside .*secrets\.yaml/],
    ['packages/vm/scripts/destroy.ts', /✓ Cut the power/],
    ['packages/vm/scripts/destroy.ts', /• Remove (the disk|virtual machine)/],
    ['packages/vm/scripts/destroy.ts', /✓ Remove (the disk|virtual machine)/],
    ['packages/vm/scripts/destroy.ts', /✓ Remove virtual machine/],
    ['packages/vm/scripts/remove-seeds.ts', /• Remove the seed ISO/],
  ]
  let killed = 0
  for (const [script, when] of points) {
    const { signal, output } = await killWhen(when, scriptOf(script), confirmed)
    if (signal === 'SIGKILL') killed += 1
    assert.not.match(output, 'This is a bug in Talosmith')
  }
  assert.ok(killed >= 8, `only ${killed} of ${points.length} were killed in time`)
  assert.ok(existsSync(inRemoved('secrets.yaml')), 'the access files were removed too early')
  assert.is(statSync(inRemoved('secrets.yaml')).mode & 0o777, 0o600)
})

test('cluster:destroy completes it, and leaves only what does not belong to the cluster', async () => {
  const before = await bystanders()
  const { code, output } = await nx('cluster:destroy', confirmed)
  assert.is(code, 0)
  assert.match(output, 'Cluster lab is destroyed')
  assert.equal(
    (await ofCluster()).filter((line) => !line.endsWith('/lab-w9.qcow2')),
    [],
  )
  assert.is(await bystanders(), before)
  assert.equal(
    readdirSync(cluster.generated).filter(
      (name) =>
        !['runs', 'images.json', 'backups', 'bundles', 'archive', 'destroyed.json'].includes(name),
    ),
    [],
  )
})

test('a restore is killed while machines are created; cluster:up is refused, and makes nothing', async () => {
  const restore = scriptOf('scripts/restore.ts', '--cluster', 'lab')
  const { signal } = await killWhen(/✓ Create the disk/, restore, confirmed)
  assert.is(signal, 'SIGKILL')
  // What it had begun on the host ends by itself.
  await sleep(3000)
  await assertRefused(cluster, 'RESTORE_UNFINISHED')
})

test('cluster:restore then recreates the destroyed cluster from its final backup', async () => {
  const { code, output } = await nx('cluster:restore', confirmed)
  assert.is(code, 0)
  assert.match(output, 'continuing an interrupted restore of etcd-')
  assert.match(output, 'Restore secrets.yaml')
  assert.match(
    await access(cluster, 'kubectl', 'get', 'configmaps', '-o', 'name'),
    'configmap/kept',
  )
  const nodes = await kubernetesNodes(cluster)
  assert.is(nodes.length, cluster.nodes.length)
  for (const { status } of nodes)
    assert.is(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True')
  assert.is((await nx('cluster:destroy', confirmed)).code, 0)
})

test('a second run does nothing, and needs no CONFIRM', async () => {
  const { code, output } = await nx('cluster:destroy')
  assert.is(code, 0)
  assert.match(output, 'nothing of cluster lab to destroy')
})

test('of two checkouts that create the cluster at once, one does, and the other touches nothing', async () => {
  const small = { WORKER_COUNT: '0', NFS_SERVER: '' }
  const folders = [projectRoot, secondCheckout()]
  const create = scriptOf('packages/vm/scripts/create.ts', '--cluster', 'lab')
  const ran = await Promise.all(
    folders.map(async (folder) => ({ folder, ...(await run(create, small, folder)) })),
  )
  const winner = ran.find(({ code }) => code === 0)
  const loser = ran.find(({ code }) => code !== 0)
  if (winner === undefined || loser === undefined)
    throw new Error(`not one of the two: exit codes ${ran.map(({ code }) => code).join(', ')}`)
  assert.match(loser.output, /LOCKED|VM_NOT_OURS/)
  const idFile = (folder: string): string => join(folder, 'generated/lab/cluster-id')
  assert.not(existsSync(idFile(loser.folder)))
  const id = readFileSync(idFile(winner.folder), 'utf8').trim()
  const domain = (): Promise<string> =>
    withHost(cluster, async ({ $ }) => (await $`virsh dumpxml --inactive lab-cp1`).stdout)
  const defined = await domain()
  assert.match(defined, id)
  for (const [script, ...flags] of [
    ['packages/vm/scripts/create.ts'],
    ['packages/vm/scripts/destroy.ts'],
    ['scripts/stop.ts', '--force'],
  ]) {
    const command = scriptOf(script ?? '', '--cluster', 'lab', ...flags)
    const { code, output } = await run(command, { ...small, ...confirmed }, loser.folder)
    assert.is(code, 1)
    assert.match(output, 'VM_NOT_OURS')
  }
  assert.is(await domain(), defined)
  for (const name of ['destroy', 'remove-seeds']) {
    const command = scriptOf(`packages/vm/scripts/${name}.ts`, '--cluster', 'lab')
    assert.is((await run(command, { ...small, ...confirmed }, winner.folder)).code, 0)
  }
  assert.equal(
    (await ofCluster()).filter((line) => !line.endsWith('/lab-w9.qcow2')),
    [],
  )
})

test('a machine keeps the VNC password that it was given by hand', async () => {
  assert.is((await nx('vm:create')).code, 0)
  const { vncPassword } = plant()
  const dump = ['--inactive', '--security-info', 'lab-w2']
  await withHost(cluster, async ({ $ }) => {
    const { stdout } = await $`virsh dumpxml ${dump}`
    const graphics = `<graphics type='vnc' passwd='${vncPassword}'/></devices>`
    await $`virsh -q define <(printf %s ${stdout.replace('</devices>', graphics)})
virsh -q setmaxmem lab-w2 2G --config`
  })
  assert.match((await nx('vm:create')).output, '✓ Change lab-w2')
  const { stdout } = await withHost(cluster, ({ $ }) => $`virsh dumpxml ${dump}`)
  assert.match(stdout, `passwd='${vncPassword}'`)
  assert.match(stdout, /<memory unit='KiB'>1048576</)
})

test('machines without Kubernetes are removed too: the pool stopped, a domain removed by hand', async () => {
  await withHost(cluster, async ({ $ }) => {
    await $`virsh -q destroy lab-w1; virsh -q undefine lab-w1 --nvram; rm ${`${pool}/lab-w1.qcow2`}`
    await $`virsh -q pool-destroy ${cluster.settings.STORAGE_POOL}`
  })
  const { code } = await nx('cluster:destroy', confirmed)
  await withHost(cluster, ({ $ }) => $`virsh -q pool-start ${cluster.settings.STORAGE_POOL}`)
  assert.is(code, 0)
  // The logs of the machine that was removed by hand can no longer be attributed to the cluster.
  const left = (await ofCluster()).filter(
    (line) => !/\/lab-w(9\.qcow2|1(-console)?\.log)$/.test(line),
  )
  assert.equal(left, [])
})

test('the commands of doctor --orphans remove orphans, whatever their names are, and nothing else', async () => {
  const gone = { CLUSTER_NAME: 'gone', WORKER_COUNT: '0', NFS_SERVER: '' }
  const create = scriptOf('packages/vm/scripts/create.ts', '--cluster', 'lab')
  assert.is((await run(create, gone)).code, 0)
  const odd = `${pool}/lab'gone $(touch touched)-w1.qcow2`
  const before = await bystanders()
  await withHost(
    cluster,
    ({ $ }) => $`
image=$(ls ${pool}/talos-*.raw | head -n 1)
qemu-img create -q -f qcow2 -F raw -b "$image" ${odd}`,
  )
  assert.match(await orphans(), 'do not remove it: it is running')
  await withHost(cluster, ({ $ }) => $`virsh -q destroy gone-cp1`)
  // First the machine, then the files that it used.
  for (let round = 0; round < 2; round++) {
    const commands = [...(await orphans()).matchAll(/to remove it, on root@\S+: (.+)$/gm)]
    assert.ok(commands.length > 0)
    for (const [, command = ''] of commands) {
      await local.$`bash -nc ${command}`
      await withHost(cluster, ({ $ }) => $`bash -c ${command}`)
    }
  }
  const left = await withHost(
    cluster,
    ({ $ }) => $`virsh -q list --all --name; ls ${pool}; find . -maxdepth 1 -name touched`,
  )
  assert.not.match(left.stdout, /gone|touched/)
  assert.is(await bystanders(), before)
  // It has the cluster's ID, so there is no command for it.
  rmSync(join(cluster.generated, '..', 'gone'), { recursive: true })
  assert.not.match(await orphans(), /gone-cp1|generated\/gone/)
})

/** What cluster:doctor lists; never what belongs to others. */
async function orphans(): Promise<string> {
  const { output } = await run(scriptOf('scripts/doctor.ts', '--cluster', 'lab', '--orphans'))
  assert.not.match(output, /lab-bystander|lab-w9/)
  return output
}

test('image:prune removes the image once nothing backs onto it', async () => {
  const { output } = await run(scriptOf('packages/image/scripts/list.ts'))
  assert.match(output, /talos-\S+-nocloud-amd64\.raw .* nothing/)
  assert.is((await nx('image:prune')).code, 0)
  await withHost(cluster, async ({ $ }) => {
    const { stdout } = await $`ls ${pool}`
    assert.not.match(stdout, /talos-.*nocloud/)
    await $`virsh -q undefine lab-bystander; rm ${`${pool}/lab-bystander.qcow2`} ${`${pool}/lab-w9.qcow2`}`
  })
})

test.run()
