import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { local, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { zipSync } from 'fflate'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { createCa } from '@talosmith/clients/testing'
import { isNeeded, reduceList } from '../bundle/kubernetes.ts'
import { writeBundle } from '../bundle/write.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const pem =
  '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAbCdEf0123456789\n-----END EC PRIVATE KEY-----'
const known = 'kHq3+8fPz0vYt5LcR1uXw9mN2bQe7sDa'

/** As talosctl writes it. */
const talosconfigOf = ({ name, controlPlanes }: Cluster, key: string): string => {
  const endpoints = controlPlanes.map(({ address }) => address)
  return stringify({ context: name, contexts: { [name]: { endpoints, ca: key, crt: key, key } } })
}

/** As Talos generates it. */
const kubeconfigOf = ({ name, endpoint }: Cluster, ca: string, key: string, cert = key): string => {
  const user = `admin@${name}`
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: endpoint, 'certificate-authority-data': ca } }],
    users: [{ name: user, user: { 'client-certificate-data': cert, 'client-key-data': key } }],
    contexts: [{ name: user, context: { cluster: name, namespace: 'default', user } }],
    'current-context': user,
  })
}

const bundle = suite<{ made: Made; path: string | undefined }>('a bundle')
bundle.before.each(async (context) => {
  context.made = await makeCluster()
  context.path = process.env['PATH']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
})
bundle.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

const write = (cluster: Cluster, now?: Date) =>
  writeBundle(
    { cluster, eachHost: () => [Promise.resolve(local)], signal: new AbortController().signal },
    now,
  )

bundle(
  'contains what could be collected, a reason for what could not, and no planted secret',
  async ({ made }) => {
    const { cluster, generated } = made
    writeFileSync(join(generated, 'secrets.yaml'), `cluster:\n  secret: ${known}\n`)
    mkdirSync(join(generated, 'runs'), { recursive: true })
    writeFileSync(join(generated, 'runs', '2026.jsonl'), `{"text":"token ${known}"}\n`)
    const [first] = cluster.nodes
    const xml = made.path(`domains/${first?.name}/xml`)
    writeFileSync(
      xml,
      readFileSync(xml, 'utf8').replace('</devices>', `<x passwd='s3cretvalue99'/></devices>`),
    )
    const { path } = await write(cluster)
    assert.is(statSync(path).mode & 0o777, 0o600)
    const out = made.path('out')
    mkdirSync(out)
    await local.$`tar -C ${out} -xf ${path}`
    const names = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(join(out, name)).isFile(),
    )
    for (const name of [
      'settings.json',
      'versions.txt',
      'diagnosis.txt',
      'diagnosis.json',
      'runs/2026.jsonl',
    ])
      assert.ok(names.includes(name), `${name} is not among ${names.join(', ')}`)
    assert.ok(names.some((name) => name.endsWith(`${first?.name}.xml`)))
    assert.ok(
      names.some((name) => name.startsWith('talos-support') && name.endsWith('.missing.txt')),
    )
    const all = names.map((name) => readFileSync(join(out, name), 'utf8')).join('\n')
    assert.not.match(all, known)
    assert.not.match(all, 's3cretvalue99')
    assert.match(all, 'token [removed]')
  },
)

bundle(
  'contains no secrets from the outputs of hosts, Talos and Kubernetes, nor from settings',
  async ({ made }) => {
    const encode = (text: string): string => Buffer.from(text).toString('base64')
    const ca = createCa('/O=kubernetes')
    const cluster = testCluster(
      {
        CLUSTER_NAME: made.cluster.name,
        NETWORK_CIDR: '127.13.11.0/24',
        TALOS_KERNEL_ARGS: 'talos.config=https://host/x?token=s3cretvalue99',
        UPGRADE_GATE_COMMAND: 'check --as me:Zq1nightfall',
        HOST_PROXY: 'http://me:Zq2nightfall@proxy.lan:3128',
      },
      made.root,
    )
    const [first] = cluster.controlPlanes
    const { cert, key } = ca.issue('/CN=it', 365, first?.address)
    const leak = (where: string): string =>
      `${where} leaks ${known}, Zq1nightfall, Zq2nightfall, Zq3nightfall; token=s3cretvalue99\n`
    const object = {
      message: `${first?.address}: ${leak('event')}`,
      metadata: { name: 'a', annotations: { a: 'Zq9nightfall' } },
      spec: { nodeName: 'b', containers: [{ env: [{ name: 'A', value: 'Zq9nightfall' }] }] },
      status: { phase: 'Running' },
    }
    const api = createServer({ cert, key }, (_, response) => {
      response.end(JSON.stringify({ items: [object] }))
    })
    await new Promise<void>((resolve) => api.listen(6443, first?.address, resolve))
    // The other machines do not answer, and are not waited for.
    const talos = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('error', () => undefined)
      socket.write('settings')
    })
    await new Promise<void>((resolve) => talos.listen(50_000, first?.address, resolve))
    const put = (name: string, text: string | Uint8Array, mode = 0o600): void =>
      writeFileSync(made.path(name), text, { mode })
    const folder = `generated/${cluster.name}`
    put(`${folder}/secrets.yaml`, stringify({ cluster: { secret: known } }))
    put(`${folder}/talosconfig`, talosconfigOf(cluster, encode(pem)))
    put(`${folder}/kubeconfig`, kubeconfigOf(cluster, encode(ca.cert), encode(key), encode(cert)))
    mkdirSync(cluster.patchesDir, { recursive: true })
    writeFileSync(join(cluster.patchesDir, 'all.yaml'), 'machine: {env: {A: Zq2nightfall}}\n')
    mkdirSync(made.path(`${folder}/backups`), { recursive: true })
    put(`${folder}/backups/etcd-1.secrets.yaml`, 'cluster: {secret: Zq3nightfall}\n')
    put(
      'support.zip',
      zipSync({
        'dmesg.log': Buffer.from(`${leak('support')}${pem}\n${encode(key)}\n`),
        'cluster/kubernetesResources/systemPods.yaml': Buffer.from('env: Zq9nightfall'),
      }),
    )
    put(
      'bin/talosctl',
      `#!/bin/bash
if [ "$1" = version ]; then echo 'Talos v1.13.9'; fi
case " $* " in *,*) exit 1 ;; esac
while [ $# -gt 0 ]; do if [ "$1" = --output ]; then cp ${made.path('support.zip')} "$2" 2>/dev/null; fi; shift; done
`,
      0o755,
    )
    put('console.txt', leak('console'))
    put(
      'bin/tail',
      `#!/bin/bash
case \${*: -1} in *-console.log) cat ${made.path('console.txt')} ;; *) exec /usr/bin/tail "$@" ;; esac
`,
      0o755,
    )
    const cache = process.env['XDG_CACHE_HOME']
    process.env['XDG_CACHE_HOME'] = made.path('cache')
    const { path } = await write(cluster).finally(() => {
      if (cache === undefined) delete process.env['XDG_CACHE_HOME']
      else process.env['XDG_CACHE_HOME'] = cache
      api.close()
      talos.close()
      api.closeAllConnections()
    })
    const { stdout: all } = await local.$`tar -xOf ${path}`
    for (const where of ['console', 'event', 'support'])
      assert.match(all, `${where} leaks [removed]`)
    assert.match(all, 'talos.config=https://host/x?token=[removed]')
    assert.match(all, '"phase": "Running"')
    assert.match(all, '"UPGRADE_GATE_COMMAND": "[removed]"')
    assert.match(all, '"HOST_PROXY": "[removed]"')
    assert.not.match(all, 'nightfall')
    for (const planted of [known, 's3cretvalue99', pem, encode(pem), key, encode(key)])
      assert.not.ok(all.includes(planted), planted)
    assert.match(all, `${first?.address}: event leaks [removed]`)
  },
)

bundle('has the reason in the place of a console that only root may read', async ({ made }) => {
  for (const [name, text] of [
    ['tail', "echo 'tail: Permission denied' >&2; exit 1"],
    ['sudo', "echo 'sudo: a password is required' >&2; exit 1"],
  ])
    writeFileSync(made.path(`bin/${name}`), `#!/bin/bash\n${text}\n`, { mode: 0o755 })
  const folder = temporaryFolder('logs')
  const [{ name = '' } = {}] = made.cluster.nodes
  const { path } = await write(made.cluster)
  await local.$`tar -xf ${path} -C ${folder}`
  const { stdout } = await local.$`find ${folder} -name ${`${name}-console.log*`}`
  assert.match(stdout, /-console\.log\.missing\.txt$/m)
})

bundle('deletes the oldest of more than five', async ({ made }) => {
  const folder = join(made.generated, 'bundles')
  mkdirSync(folder)
  for (let day = 1; day < 8; day++) writeFileSync(join(folder, `2026-01-0${day}.tar.zst`), '')
  await write(made.cluster, new Date('2026-11-24T00:00:00Z'))
  const left = readdirSync(folder).sort()
  assert.is(left.length, 5)
  assert.match(left[4] ?? '', '2026-11-24')
  assert.is(left[0], '2026-01-04.tar.zst')
})

bundle('that is killed leaves nothing in the temporary folder', async ({ made }) => {
  const temporary = made.path('temporary')
  mkdirSync(temporary)
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = temporary
  const never = new Promise<never>(() => undefined)
  const { signal } = new AbortController()
  try {
    // What a killed run has left; the process with this ID has ended.
    const { pid } = spawnSync('true')
    const left = join(made.generated, 'work', `${pid}-0`)
    mkdirSync(left, { recursive: true })
    writeFileSync(join(left, 'support.zip'), known)
    void writeBundle({ cluster: made.cluster, eachHost: () => [never], signal }).catch(() => 0)
    const work = join(made.generated, 'work')
    for (let tries = 0; tries < 200 && existsSync(left); tries++) await sleep(20)
    for (let tries = 0; tries < 200 && readdirSync(work).length === 0; tries++) await sleep(20)
    assert.equal(readdirSync(temporary), [])
    assert.equal(
      readdirSync(work).map((name) => name.replace(/-\d+$/, '')),
      [String(process.pid)],
    )
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
})

bundle('has names, phases and states of pods, nodes and events only', () => {
  const secret = { 'x.y/z': 'Zq9nightfall' }
  const metadata = { name: 'a', namespace: 'b', annotations: secret, managedFields: [secret] }
  const pod = {
    metadata,
    spec: { nodeName: 'n', containers: [{ args: ['Zq9nightfall'], env: [secret] }] },
    status: {
      phase: 'Pending',
      containerStatuses: [
        {
          name: 'c',
          ready: false,
          restartCount: 3,
          state: { waiting: { reason: 'ErrImagePull' } },
        },
      ],
    },
  }
  const node = {
    metadata: { ...metadata, labels: secret },
    spec: { taints: [{ key: 'k', effect: 'NoSchedule', value: 'Zq9nightfall' }] },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }
  const event = { metadata, involvedObject: { kind: 'Pod', name: 'a' }, reason: 'Failed' }
  const reduced = [
    reduceList('pods', JSON.stringify({ items: [pod, {}] })),
    reduceList('nodes', JSON.stringify({ items: [node, {}] })),
    reduceList('events', JSON.stringify({ items: [event, {}] })),
  ].join()
  for (const shown of ['Pending', 'ErrImagePull', 'k:NoSchedule', 'Ready', 'Pod /a', 'Failed'])
    assert.match(reduced, shown)
  assert.not.match(reduced, 'Zq9nightfall')
  assert.throws(() => reduceList('pods', '<html>'))
})

bundle('has no files of talosctl support with whole objects or configs', () => {
  const left = [
    'cluster/kubernetesResources/systemPods.yaml',
    '10.0.0.70/processes',
    '10.0.0.70/resources/staticpods.kubernetes.talos.dev.yaml',
    '10.0.0.70/resources/manifests.kubernetes.talos.dev.yaml',
    '10.0.0.70/resources/kubeletconfigs.kubernetes.talos.dev.yaml',
    '10.0.0.70/resources/machineconfigs.config.talos.dev.yaml',
  ]
  const kept = [
    '10.0.0.70/dmesg.log',
    '10.0.0.70/service-logs/kubelet.log',
    '10.0.0.70/resources/manifeststatuses.kubernetes.talos.dev.yaml',
    '10.0.0.70/resources/services.v1alpha1.talos.dev.yaml',
    '10.0.0.70/resources/addressstatuses.net.talos.dev.yaml',
  ]
  assert.equal([...left, ...kept].filter(isNeeded), kept)
})

bundle.run()
