import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { renderDomain } from '../src/domain-xml.ts'
import { observeHostEvidence, type MachineEvidence } from '../src/evidence.ts'
import { describeMachine } from '../src/machine.ts'
import { answerBatch, type VirshOutput } from './fake-virsh.ts'
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

/** Observes the first machine on a host with this output of virsh, by command, and these lines of the probe. */
async function observe(virsh: Record<string, VirshOutput>, lines: readonly string[] = []) {
  const host = recordingHost(
    (command) =>
      answerBatch(command, (words) => virsh[words.split(' ')[0] ?? ''] ?? { error: 'no such' }) ??
      lines.join('\n'),
  )
  const seeds = new Map([[node.name, own.seed]])
  const { machines, gatewayAnswers } = await observeHostEvidence(host, cluster, [node], seeds)
  return {
    ...(machines.get(node.name) as MachineEvidence),
    gatewayAnswers,
    commands: host.commands,
  }
}

test('one virsh process and one command are enough', async () => {
  const observed = await observe({
    domstate: 'running (booted)',
    domblkerror: 'No errors found',
    dumpxml: xml,
  })
  assert.is(observed.commands.length, 2)
  assert.equal(
    [observed.state, observed.stateReason, observed.diskErrors],
    ['running', 'booted', ''],
  )
  assert.is(observed.running?.memoryMib, node.memoryMib)
  assert.is(observed.gatewayAnswers, undefined)
})

test('a paused machine has its reason and its disk errors', async () => {
  const observed = await observe({
    domstate: 'paused (I/O error)',
    domblkerror: 'vda: no space',
    dumpxml: xml,
  })
  assert.equal(
    [observed.state, observed.stateReason, observed.diskErrors],
    ['paused', 'I/O error', 'vda: no space'],
  )
})

test('a machine that is off or does not exist has no running definition', async () => {
  assert.is((await observe({ domstate: 'shut off (destroyed)', dumpxml: xml })).running, undefined)
  assert.is((await observe({})).state, 'unknown')
})

const neigh = (address: string, mac: string, state: string): string =>
  `neigh ${address} dev br0 lladdr ${mac} ${state}`
const other = '52:54:00:99:99:99'
const neighbors: [string, string[], Partial<MachineEvidence>][] = [
  [
    'the machine itself',
    [neigh(node.address, node.mac, 'REACHABLE')],
    { answering: [node.mac], elsewhere: [] },
  ],
  [
    'the machine and another one',
    [
      neigh(node.address, node.mac, 'REACHABLE'),
      neigh(node.address, other.toUpperCase(), 'REACHABLE'),
    ],
    { answering: [node.mac, other] },
  ],
  ['a stale entry', [neigh(node.address, other, 'STALE')], { answering: [] }],
  [
    'no reply',
    [neigh(node.address, other, 'DELAY'), `neigh ${node.address} dev br0 FAILED`],
    { answering: [] },
  ],
  [
    'two machines, one of them in the neighbor table',
    [
      `probed ${node.address}`,
      `replied ${node.address} ${node.mac}`,
      `replied ${node.address} ${other.toUpperCase()}`,
      neigh(node.address, node.mac, 'REACHABLE'),
    ],
    { answering: [node.mac, other] },
  ],
  [
    'a removed machine that is still in the neighbor table',
    [`probed ${node.address}`, neigh(node.address, other, 'REACHABLE')],
    { answering: [], elsewhere: [] },
  ],
  [
    'the machine at the VIP',
    [neigh('10.0.0.60', node.mac, 'REACHABLE')],
    { answering: [], elsewhere: [] },
  ],
  [
    'the machine at another address',
    [neigh('10.0.0.123', node.mac, 'REACHABLE')],
    { answering: [], elsewhere: ['10.0.0.123'] },
  ],
]
for (const [title, lines, expected] of neighbors)
  test(`ARP for an address: ${title}`, async () => {
    const observed = await observe({ domstate: 'running (booted)', dumpxml: xml }, lines)
    for (const [key, value] of Object.entries(expected))
      assert.equal(observed[key as keyof MachineEvidence], value)
  })

/** Runs the real command in a real shell, with these programs on PATH. */
async function observeWith(programs: Readonly<Record<string, string>>) {
  const folder = temporaryFolder('evidence')
  for (const [name, text] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 })
  const path = process.env['PATH']
  process.env['PATH'] = `${folder}:${path}`
  try {
    const observed = await observeHostEvidence(local, cluster, [node], new Map())
    return observed.machines.get(node.name)?.answering
  } finally {
    process.env['PATH'] = path
  }
}
const ipNeighbours = `case "$*" in *route*) echo '10.0.0.70 dev br0 src 10.0.0.2' ;; *) echo '${node.address} dev br0 lladdr ${other} REACHABLE' ;; esac`
const noReply = `echo 'Sent 2 probe(s) (0 broadcast(s))'; echo 'Received 0 response(s)'; exit 1`
/** Has no domains, and separates its outputs as virsh does. */
const virsh = `for all; do :; done
echo "$all" | tr ';' '\\n' | while read -r verb words; do
  case "$verb $words" in
    'echo --err '*) echo "error: \${words#--err }" >&2 ;;
    'echo '*) echo "$words" ;;
  esac
done`
const host = { virsh, timeout: 'exit 124', ip: ipNeighbours }

test('no reply to arping takes precedence over the neighbor table', async () => {
  assert.equal(await observeWith({ ...host, arping: noReply }), [])
})

test('without permission for arping, the neighbor table is used', async () => {
  assert.equal(await observeWith({ ...host, arping: 'echo not permitted >&2; exit 2' }), [other])
})

test('a reply to arping is an answer', async () => {
  const reply = `echo 'Unicast reply from ${node.address} [${node.mac}] 0.5ms'; echo 'Received 1 response(s)'`
  assert.equal(await observeWith({ ...host, arping: reply }), [node.mac])
})

test('a gateway that does not reply is silent; one with an unconfirmed entry is not', async () => {
  assert.is((await observe({}, ['neigh 10.0.0.1 dev br0 FAILED'])).gatewayAnswers, false)
  assert.is((await observe({}, [neigh('10.0.0.1', other, 'DELAY')])).gatewayAnswers, true)
})

test('the VIP is reported separately, not as another address of its holder', async () => {
  const three = testCluster({ CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' })
  const holder = firstOf(three)
  const host = recordingHost(
    (command) =>
      answerBatch(command, () => ({ error: 'no such' })) ??
      [`probed 10.0.0.60`, `replied 10.0.0.60 ${holder.mac}`, `replied 10.0.0.60 ${other}`].join(
        '\n',
      ),
  )
  const observed = await observeHostEvidence(host, three, [holder], new Map())
  assert.equal(observed.vipAnswering, [holder.mac, other])
  assert.equal(observed.machines.get(holder.name)?.elsewhere, [])
})

test('reads the console and the label of the ISO', async () => {
  const sector = Buffer.alloc(2048, ' ')
  sector.write('CD001', 1)
  sector.write('cidata', 40)
  const console = Buffer.from('\x1b[2Jone\r\n\r\ntwo\r\n').toString('base64')
  const observed = await observe({}, [
    `open ${node.address} 50000`,
    `console ${node.name} ${console}`,
    `quiet ${node.name} 42`,
    `iso ${node.name} ${sector.toString('base64')}`,
  ])
  assert.equal(
    [observed.opens, observed.seedLabel, observed.console, observed.consoleQuietS],
    [true, 'cidata', ['one', 'two'], 42],
  )
  assert.is(observed.opensApi, false)
})

test('a console that only root may read is no empty console', async () => {
  const observed = await observe({}, [
    `unreadable ${node.name} /var/x: sudo: a password is required`,
  ])
  assert.equal(observed.console, [])
  assert.match(
    observed.consoleProblem ?? '',
    /a password is required; on root@kvm1 only root reads/,
  )
  assert.is((await observe({}, [`console ${node.name} `])).consoleProblem, undefined)
})

test('a missing seed ISO and an unreadable one are told apart', async () => {
  const known = async (...lines: string[]) => {
    const { isSeedKnown, seedLabel } = await observe({}, lines)
    return [isSeedKnown, seedLabel]
  }
  assert.equal(await known(`iso ${node.name} `), [true, undefined])
  assert.equal(await known(), [false, undefined])
})

test('the ports of the API server and of Talos are told apart', async () => {
  const { opens, opensApi } = await observe({}, [`open ${node.address} 6443`])
  assert.equal([opens, opensApi], [false, true])
})

test.run()
