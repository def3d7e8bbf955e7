import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { renderDomain } from '../src/domain-xml.ts'
import { observeEvidence, type MachineEvidence } from '../src/evidence.ts'
import { describeMachine } from '../src/machine.ts'
import { answerBatch, type Said } from './fake-virsh.ts'
import { firstOf } from './observed-hosts.ts'

const cluster = testCluster({
  NETWORK_GATEWAY: '10.0.0.1',
  CLUSTER_VIP: '10.0.0.60',
  CONTROL_PLANE_COUNT: '3',
})
const node = firstOf(cluster)
const own = { disk: '/pool/d.qcow2', seed: '/pool/s.iso' }
const xml = renderDomain(describeMachine(cluster, node, own, 'kvm'), {
  image: '/pool/i.raw',
  diskGib: 10,
  uri: 'qemu:///system',
  directIo: true,
})

/** What a host says of the first machine: virsh by words, and the lines of the one command. */
async function look(virsh: Record<string, Said>, lines: readonly string[] = []) {
  const host = recordingHost(
    (command) =>
      answerBatch(command, (words) => virsh[words.split(' ')[0] ?? ''] ?? { error: 'no such' }) ??
      lines.join('\n'),
  )
  const seeds = new Map([[node.name, own.seed]])
  const { machines, gatewayAnswers } = await observeEvidence(host, cluster, [node], seeds)
  return {
    ...(machines.get(node.name) as MachineEvidence),
    gatewayAnswers,
    commands: host.commands,
  }
}

test('one virsh process and one command tell what there is to know', async () => {
  const observed = await look({
    domstate: 'running (booted)',
    domblkerror: 'No errors found',
    dumpxml: xml,
  })
  assert.is(observed.commands.length, 2)
  assert.equal([observed.state, observed.stateReason, observed.diskErrors], ['running', 'booted', ''])
  assert.is(observed.running?.memoryMib, node.memoryMib)
  assert.is(observed.gatewayAnswers, undefined)
})

test('a paused machine has its reason and what its disks complain of', async () => {
  const observed = await look({
    domstate: 'paused (I/O error)',
    domblkerror: 'vda: no space',
    dumpxml: xml,
  })
  assert.equal(
    [observed.state, observed.stateReason, observed.diskErrors],
    ['paused', 'I/O error', 'vda: no space'],
  )
})

test('a machine that is off, or not there, has no definition as it runs', async () => {
  assert.is((await look({ domstate: 'shut off (destroyed)', dumpxml: xml })).running, undefined)
  assert.is((await look({})).state, 'unknown')
})

const neigh = (address: string, mac: string, state: string): string =>
  `neigh ${address} dev br0 lladdr ${mac} ${state}`
const other = '52:54:00:99:99:99'
const neighbours: [string, string[], Partial<MachineEvidence>][] = [
  [
    'the machine itself',
    [neigh(node.address, node.mac, 'REACHABLE')],
    { answering: [node.mac], elsewhere: [] },
  ],
  [
    'another one besides',
    [
      neigh(node.address, node.mac, 'REACHABLE'),
      neigh(node.address, other.toUpperCase(), 'REACHABLE'),
    ],
    { answering: [node.mac, other] },
  ],
  ['one that was there once', [neigh(node.address, other, 'STALE')], { answering: [] }],
  [
    'one that is asked and silent',
    [neigh(node.address, other, 'DELAY'), `neigh ${node.address} dev br0 FAILED`],
    { answering: [] },
  ],
  [
    'two, of which the table of neighbours has one',
    [
      `shouted ${node.address}`,
      `heard ${node.address} ${node.mac}`,
      `heard ${node.address} ${other.toUpperCase()}`,
      neigh(node.address, node.mac, 'REACHABLE'),
    ],
    { answering: [node.mac, other] },
  ],
  [
    'one that is gone since, and that the table of neighbours remembers',
    [`shouted ${node.address}`, neigh(node.address, other, 'REACHABLE')],
    { answering: [], elsewhere: [] },
  ],
  [
    'the machine at the shared address',
    [neigh('10.0.0.60', node.mac, 'REACHABLE')],
    { answering: [], elsewhere: [] },
  ],
  [
    'the machine at another address',
    [neigh('10.0.0.123', node.mac, 'REACHABLE')],
    { answering: [], elsewhere: ['10.0.0.123'] },
  ],
]
for (const [title, lines, expected] of neighbours)
  test(`who answers for an address: ${title}`, async () => {
    const observed = await look({ domstate: 'running (booted)', dumpxml: xml }, lines)
    for (const [key, value] of Object.entries(expected))
      assert.equal(observed[key as keyof MachineEvidence], value)
  })

/** The real command, in a real shell, on a host whose programs are these. */
async function lookFor(programs: Readonly<Record<string, string>>) {
  const folder = temporaryFolder('evidence')
  for (const [name, text] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 })
  const path = process.env['PATH']
  process.env['PATH'] = `${folder}:${path}`
  try {
    const observed = await observeEvidence(local, cluster, [node], new Map())
    return observed.machines.get(node.name)?.answering
  } finally {
    process.env['PATH'] = path
  }
}
const remembers = `case "$*" in *route*) echo '10.0.0.70 dev br0 src 10.0.0.2' ;; *) echo '${node.address} dev br0 lladdr ${other} REACHABLE' ;; esac`
const nobody = `echo 'Sent 2 probe(s) (0 broadcast(s))'; echo 'Received 0 response(s)'; exit 1`
/** Knows of no machine, and ends each of its answers as virsh does. */
const virsh = `for all; do :; done
echo "$all" | tr ';' '\\n' | while read -r verb words; do
  case "$verb $words" in
    'echo --err '*) echo "error: \${words#--err }" >&2 ;;
    'echo '*) echo "$words" ;;
  esac
done`
const host = { virsh, timeout: 'exit 124', ip: remembers }

test('what arping does not hear counts more than what the table remembers', async () => {
  assert.equal(await lookFor({ ...host, arping: nobody }), [])
})

test('where arping may not be used, the table has to do', async () => {
  assert.equal(await lookFor({ ...host, arping: 'echo not permitted >&2; exit 2' }), [other])
})

test('what arping hears has an address', async () => {
  const heard = `echo 'Unicast reply from ${node.address} [${node.mac}] 0.5ms'; echo 'Received 1 response(s)'`
  assert.equal(await lookFor({ ...host, arping: heard }), [node.mac])
})

test('a gateway that is asked and silent is so; one that is only stale may well be there', async () => {
  assert.is((await look({}, ['neigh 10.0.0.1 dev br0 FAILED'])).gatewayAnswers, false)
  assert.is((await look({}, [neigh('10.0.0.1', other, 'DELAY')])).gatewayAnswers, true)
})

test('who answers for the VIP is told, and it is no other address of its holder', async () => {
  const three = testCluster({ CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' })
  const holder = firstOf(three)
  const host = recordingHost(
    (command) =>
      answerBatch(command, () => ({ error: 'no such' })) ??
      [`shouted 10.0.0.60`, `heard 10.0.0.60 ${holder.mac}`, `heard 10.0.0.60 ${other}`].join('\n'),
  )
  const observed = await observeEvidence(host, three, [holder], new Map())
  assert.equal(observed.vipAnswering, [holder.mac, other])
  assert.equal(observed.machines.get(holder.name)?.elsewhere, [])
})

test('console and label of the ISO come back as they were', async () => {
  const sector = Buffer.alloc(2048, ' ')
  sector.write('CD001', 1)
  sector.write('cidata', 40)
  const console = Buffer.from('\x1b[2Jone\r\n\r\ntwo\r\n').toString('base64')
  const observed = await look({}, [
    `open ${node.address} 50000`,
    `console ${node.name} ${console}`,
    `iso ${node.name} ${sector.toString('base64')}`,
  ])
  assert.equal([observed.opens, observed.seedLabel, observed.console], [true, 'cidata', ['one', 'two']])
  assert.is(observed.opensApi, false)
})

test('a seed that is not there, and one that we may not read, are not the same', async () => {
  const known = async (...lines: string[]) => {
    const { isSeedKnown, seedLabel } = await look({}, lines)
    return [isSeedKnown, seedLabel]
  }
  assert.equal(await known(`iso ${node.name} `), [true, undefined])
  assert.equal(await known(), [false, undefined])
})

test('whose API server the host reaches is told apart from whose Talos', async () => {
  const { opens, opensApi } = await look({}, [`open ${node.address} 6443`])
  assert.equal([opens, opensApi], [false, true])
})

test.run()
