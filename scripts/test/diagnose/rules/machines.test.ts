import { test } from 'uvu'
import { testDiagnosed, testNotDiagnosed } from '../../support/diagnosed.ts'
import {
  cluster,
  files,
  host,
  type Parts,
  running,
  service,
  starting,
  w1,
} from '../../support/observed-cluster.ts'

const waitingAgent = service(
  'ext-qemu-guest-agent',
  'Waiting',
  '?',
  'Waiting for file "/dev/virtio-ports/org.qemu.guest_agent.0" to exist',
)

testDiagnosed([
  [
    'a machine that does not exist',
    { host: { domains: host.domains.slice(0, 3) } },
    [`MACHINE_MISSING ${w1}`],
  ],
  [
    'a machine that is shut off',
    {
      evidence: { [w1]: { state: 'shut off', stateReason: 'destroyed', running: undefined } },
      probes: { [w1]: 'silent' },
    },
    [`MACHINE_OFF ${w1}`],
  ],
  [
    'a machine whose disk is lost',
    {
      host: {
        disks: new Map([...host.disks].filter(([path]) => path !== files.disk({ name: w1 }))),
        domains: host.domains.map((domain) =>
          domain.name === w1 ? { ...domain, live: { ...domain.live, state: 'shut off' } } : domain,
        ),
      },
      evidence: { [w1]: { state: 'shut off', stateReason: 'failed', running: undefined } },
      probes: { [w1]: 'silent' },
    },
    [`DISK_LOST ${w1}`],
  ],
  [
    'a machine that runs on a deleted disk',
    { host: { disks: new Map([...host.disks].filter(([path]) => !path.includes(w1))) } },
    [`DISK_LOST ${w1}`],
  ],
  [
    'a pool that is not mounted',
    {
      host: {
        ...{ disks: new Map(), seeds: new Map(), hasImage: false },
        domains: host.domains.map((domain) => ({
          ...domain,
          live: { ...domain.live, state: 'shut off' },
        })),
      },
      evidence: Object.fromEntries(
        cluster.nodes.map(({ name }) => [
          name,
          { state: 'shut off', stateReason: 'shutdown', running: undefined },
        ]),
      ),
    },
    cluster.nodes.map(({ name }) => `POOL_EMPTY ${name}`),
  ],
  [
    'a machine that crashed',
    { evidence: { [w1]: { state: 'shut off', stateReason: 'crashed', running: undefined } } },
    [`MACHINE_CRASHED ${w1}`],
  ],
  [
    'a machine paused by a user',
    { evidence: { [w1]: { state: 'paused', stateReason: 'user' } }, probes: { [w1]: 'silent' } },
    [`MACHINE_PAUSED ${w1}`],
  ],
  [
    'a machine paused by its disk',
    {
      evidence: {
        [w1]: { state: 'paused', stateReason: 'I/O error', diskErrors: 'vda: no space' },
      },
    },
    [`PAUSED_BY_DISK ${w1}`],
  ],
  [
    'a guest agent without a channel',
    {
      evidence: { [w1]: { running: { ...running(w1), guestAgent: false } } },
      talos: { [w1]: { ...starting, services: [waitingAgent] } },
    },
    [`GUEST_AGENT_CHANNEL_MISSING ${w1}`],
  ],
  [
    'too little memory',
    { evidence: { [w1]: { running: { ...running(w1), memoryMib: 512 } } } },
    [`MEMORY_TOO_SMALL ${w1}`],
  ],
  [
    'an empty CD-ROM drive',
    { evidence: { [w1]: { running: { ...running(w1), seed: '' } } } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed ISO that was deleted',
    { evidence: { [w1]: { seedLabel: undefined } }, probes: { [w1]: 'silent' } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed ISO with another label',
    { evidence: { [w1]: { seedLabel: 'seed' } } },
    [`SEED_LABEL_WRONG ${w1}`],
  ],
  [
    'the seed ISO of another machine',
    {
      host: {
        seeds: new Map(
          [...host.seeds].map(([path, owner]) => [path, owner && { ...owner, node: 'home-cp1' }]),
        ),
      },
    },
    ['SEED_OF_ANOTHER home-cp2', 'SEED_OF_ANOTHER home-cp3', `SEED_OF_ANOTHER ${w1}`],
  ],
  [
    'a crashed guest that libvirt keeps paused',
    { evidence: { [w1]: { state: 'paused', stateReason: 'crashed' } }, probes: { [w1]: 'silent' } },
    [`MACHINE_CRASHED ${w1}`],
  ],
])

testNotDiagnosed([
  [
    'a seed ISO that is not readable',
    {
      evidence: { [w1]: { isSeedKnown: false, seedLabel: undefined, opens: false, answering: [] } },
      probes: { [w1]: 'silent' },
    },
  ],
  ...['migrating', 'saving', 'creating snapshot', 'starting up'].map(
    (stateReason): [string, Parts] => [
      `a machine that is paused for ${stateReason}`,
      { evidence: { [w1]: { state: 'paused', stateReason } }, probes: { [w1]: 'silent' } },
    ],
  ),
])

test.run()
