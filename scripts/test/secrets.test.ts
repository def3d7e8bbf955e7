/** A marker in every secret of a cluster reaches no output, record, bundle, argument, or file of a host. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { createCa } from '@talosmith/clients/testing'
import { createLog, local, Problem, type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { applyVmChange, observeHost } from '@talosmith/vm'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { writeBundle } from '../bundle/write.ts'
import { checksAsJson, renderChecks } from '../doctor/check.ts'
import { runChecks } from '../doctor/preflight.ts'
import { planAll } from '../plan/cluster.ts'
import { planAsJson, renderReport } from '../plan/report.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

/** The word is in every marker, and in nothing else. */
const word = 'nightfall'
const marker = (name: string): string => `Zq7${word}${name}`

const test = suite<{ made: Made; before: NodeJS.ProcessEnv }>('secrets')
test.before.each(async (context) => {
  context.made = await makeCluster()
  context.before = { ...process.env }
  mkdirSync(context.made.path('temporary'))
  Object.assign(process.env, {
    PATH: `${context.made.path('bin')}:${process.env['PATH']}`,
    XDG_CACHE_HOME: context.made.path('nothing'),
    TMPDIR: context.made.path('temporary'),
  })
})
test.after.each(({ made, before }) => {
  for (const name of ['PATH', 'XDG_CACHE_HOME', 'TMPDIR'])
    if (before[name] === undefined) delete process.env[name]
    else process.env[name] = before[name]
  made.close()
})

/** Puts a marker into every secret file, patch, gate command and domain. */
function plant(made: Made): Cluster {
  const cluster = testCluster(
    {
      CLUSTER_NAME: made.cluster.name,
      UPGRADE_GATE_COMMAND: `check-storage --user me:${marker('gate')}`,
    },
    made.root,
  )
  const put = (name: string, text: string, mode = 0o600): void =>
    writeFileSync(name, text, { mode })
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  const certs = { crt: encode(createCa('/O=it').cert), key: encode(marker('key')) }
  const secrets = stringify({
    cluster: { secret: marker('secret') },
    certs: { os: certs, k8s: certs, etcd: certs },
  })
  put(join(cluster.generated, 'secrets.yaml'), secrets)
  const sha256 = createHash('sha256').update(secrets).digest('hex')
  put(
    join(cluster.generated, 'secrets.owner.json'),
    JSON.stringify({ cluster: cluster.name, sha256 }),
  )
  for (const file of ['talosconfig', 'kubeconfig', `configs/${cluster.name}-cp1.yaml`])
    put(join(cluster.generated, file), `a: {token: ${marker(file.slice(0, 4))}}\n`)
  for (const file of ['backups/etcd-1.secrets.yaml', 'removed/secrets.yaml']) {
    mkdirSync(join(cluster.generated, file, '..'), { recursive: true })
    put(join(cluster.generated, file), `a: ${marker(file.slice(0, 3))}\n`)
  }
  mkdirSync(cluster.patchesDir, { recursive: true })
  put(join(cluster.patchesDir, 'all.yaml'), `machine: {networks: {x: ${marker('patch')}}}\n`)
  for (const { name } of cluster.nodes) {
    const xml = made.path(`domains/${name}/xml`)
    const graphics = `<graphics type='vnc' passwd='${marker('vnc')}'/></devices>`
    put(xml, readFileSync(xml, 'utf8').replace('</devices>', graphics))
  }
  return cluster
}

/** Programs that record their arguments, and those of the shell that started them. */
function installPrograms(made: Made): void {
  const record = `printf '%s\\n' "$0 $*" >>${made.path('arguments')}; tr '\\0' ' ' </proc/$PPID/cmdline >>${made.path('arguments')}`
  const put = (name: string, text: string): void =>
    writeFileSync(made.path(`bin/${name}`), `#!/bin/bash\n${record}\n${text}\n`, { mode: 0o755 })
  writeFileSync(made.path('bin/virsh.sh'), readFileSync(made.path('bin/virsh')), { mode: 0o755 })
  put(
    'virsh',
    `if [ "$4" = define ]; then cat "$5" >${made.path('defined')}; exit; fi
exec ${made.path('bin/virsh.sh')} "$@"`,
  )
  // As talosctl 1.13 answers a misspelt key.
  put(
    'talosctl',
    `case "$1 $2" in
version*) echo 'Talos v1.13.9' ;;
"gen config") ;;
"machineconfig patch")
  printf 'error decoding document /v1alpha1/ (line 1): unknown keys found during decoding:\\nmachine:\\n    networks:\\n        x: ${marker('patch')}\\n\\n' >&2
  exit 1 ;;
*) echo 'rpc error: code = Unavailable desc = connection refused' >&2; exit 1 ;;
esac`,
  )
}

/** Reads the arguments of all processes until it is stopped; those that live shorter record their own. */
function sampleArguments(): () => string {
  const found = new Set<string>()
  const timer = setInterval(() => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      try {
        found.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      } catch {
        // It has ended.
      }
  }, 20)
  return () => {
    clearInterval(timer)
    return [...found].join('\n')
  }
}

test('no marker leaves the files that it is in', async ({ made }) => {
  const cluster = plant(made)
  installPrograms(made)
  const output: string[] = []
  const record = join(cluster.generated, 'runs', '2026.jsonl')
  mkdirSync(join(record, '..'), { recursive: true })
  const stream = { write: (text: string) => output.push(text), isTTY: true, columns: 200 }
  const log = createLog({ record: () => record, stream: stream as unknown as NodeJS.WriteStream })
  const { signal } = new AbortController()
  const context = { cluster, log, signal, eachHost: () => [Promise.resolve(local)] }
  const before = made.everything()
  const stop = sampleArguments()

  const plan = await planAll(context)
  output.push(renderReport(cluster, plan), JSON.stringify(planAsJson(cluster.name, plan)))
  const checks = await runChecks(context, { quick: true })
  output.push(renderChecks(checks), JSON.stringify(checksAsJson(cluster.name, checks)))
  const observed = await observeHost(local, cluster, 0)
  const target = `${cluster.name}-w1`
  const change = { kind: 'update-domain', target, host: 0, summary: '', risk: 'none' } as const
  await applyVmChange(change, { cluster, hosts: [local], observedHosts: [observed], log }).catch(
    (error: unknown) =>
      output.push(error instanceof Problem ? `${error.message} ${error.because}` : String(error)),
  )
  const { path } = await writeBundle(context)

  const sampled = stop()
  const { stdout: bundle } = await local.$`tar -xOf ${path}; tar -tf ${path}`
  assert.match(output.join('\n'), /CONFIG_INVALID[\s\S]*unknown keys: machine\.networks\.x/)
  assert.match(readFileSync(made.path('defined'), 'utf8'), marker('vnc'))
  assert.match(readFileSync(made.path('arguments'), 'utf8'), 'machineconfig patch')
  const places = {
    output: output.join('\n'),
    'the run record': readRecord(record),
    'the bundle': bundle,
    'arguments of programs': readFileSync(made.path('arguments'), 'utf8'),
    'sampled arguments': sampled,
    'the temporary folder': readdirSync(made.path('temporary')).join('\n'),
    'other files': Object.entries(made.everything())
      .filter(
        ([name, text]) => text !== before[name] && !/^(?:defined|generated\/.*\/work\/)/.test(name),
      )
      .map((pair) => pair.join('\n'))
      .join('\n'),
  }
  for (const [place, text] of Object.entries(places)) assert.not.match(text, word, place)
  assert.equal(readdirSync(join(cluster.generated, 'work')), [])
  assert.is(statSync(path).mode & 0o077, 0)
})

function readRecord(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

test.run()
