import { readFileSync } from 'node:fs'
import { hostFiles, type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { editDomain, rebuildDomain, withClusterId } from '../src/edit-domain.ts'
import { describeMachine, type Machine, type Origin } from '../src/machine.ts'
import { parseDomain } from '../src/parse-domain.ts'
import { firstOf, pool } from './observed-hosts.ts'

/** home-cp1 as `virsh dumpxml --inactive` prints it, after much was changed by hand. */
const fixture = readFileSync(new URL('fixtures/by-hand.xml', import.meta.url), 'utf8')
const cluster = testCluster()
const xml = fixture.replaceAll('@POOL@', pool).replace('@MAC@', firstOf(cluster).mac)

function machineOf(desired: Cluster, folder = pool): Machine {
  const files = hostFiles(desired, folder)
  const node = firstOf(desired)
  return describeMachine(desired, node, { disk: files.disk(node), seed: files.seed(node) }, 'kvm')
}

const origin: Origin = { image: '/new.raw', diskGib: 20, uri: 'qemu:///system', directIo: false }
const former = { disk: `${pool}/home-cp1.qcow2`, seed: `${pool}/home-cp1-seed.iso` }
const rebuild = (machine: Machine, of = xml): string =>
  rebuildDomain(of, machine, { origin, former })

/** The lines that differ, sorted; how libvirt and we quote attributes is no difference. */
function changed(before: string, after: string): { gone: string[]; added: string[] } {
  const lines = (text: string): string[] =>
    text
      .replaceAll(`'"x"'`, '"&quot;x&quot;"')
      .replaceAll("'", '"')
      .replaceAll('><', '>\n<')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  const [was, is] = [lines(before), lines(after)]
  return {
    gone: was.filter((line) => !is.includes(line)),
    added: is.filter((line) => !was.includes(line)),
  }
}

const edits: [string, Readonly<Record<string, string>>, { gone: string[]; added: string[] }][] = [
  ['nothing', {}, { gone: [], added: [] }],
  [
    'memory',
    { CONTROL_PLANE_MEMORY_MIB: '8192' },
    {
      gone: [
        '<memory unit="KiB" dumpCore="off">4194304</memory>',
        '<currentMemory unit="KiB">4194304</currentMemory>',
      ],
      added: [
        '<memory unit="MiB" dumpCore="off">8192</memory>',
        '<currentMemory unit="MiB">8192</currentMemory>',
      ],
    },
  ],
  [
    'CPUs, and not the host CPUs that they run on',
    { CONTROL_PLANE_CPU: '4' },
    {
      gone: ['<vcpu placement="static" cpuset="2-3">2</vcpu>'],
      added: ['<vcpu placement="static" cpuset="2-3">4</vcpu>'],
    },
  ],
  [
    'the CPU model, and not its topology',
    { CPU_MODEL: 'Nehalem' },
    {
      gone: ['<cpu mode="host-passthrough" check="none" migratable="on">'],
      added: ['<cpu mode="custom" match="exact">', '<model fallback="forbid">Nehalem</model>'],
    },
  ],
  [
    'our interface, and not the one that precedes it',
    { NETWORK_BRIDGE: 'lan' },
    { gone: ['<source bridge="br0"/>'], added: ['<source bridge="lan"/>'] },
  ],
  [
    'the guest agent',
    { TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' },
    {
      gone: [],
      added: [
        '<channel type="unix">',
        '<target type="virtio" name="org.qemu.guest_agent.0"/>',
        '</channel>',
      ],
    },
  ],
]
for (const [what, settings, expected] of edits)
  test(`an edit changes in a domain that was edited by hand: ${what}`, () => {
    const machine = machineOf(testCluster(settings))
    assert.equal(changed(xml, editDomain(xml, machine)), expected)
  })

test('an edit keeps comments, order and text as they are', () => {
  const edited = editDomain(xml, machineOf(cluster))
  for (const kept of [
    '<!-- pinned: see the wiki -->',
    '<!-- of the backup program -->',
    '<description>rack 3 &amp; B&#xFC;ro\n    do not move</description>',
    '<a><![CDATA[1 < 2]]></a>',
  ])
    assert.ok(edited.includes(kept), kept)
  const order = [
    ...edited.matchAll(/<target dev="(\w+)"|<mac address="([^"]+)"|qemu:arg value="([^"]+)"/g),
  ]
  assert.equal(
    order.map(([, target, mac, value]) => target ?? mac ?? value),
    ['vdb', 'vda', 'sda', 'sdb', '52:54:00:aa:aa:aa', firstOf(cluster).mac, '-device', 'x'],
  )
})

test('our interface is the one with our MAC address, wherever it is', () => {
  const { mac } = firstOf(cluster)
  assert.is(parseDomain(xml, new Map([['home-cp1', mac]])).machine.mac, mac)
  assert.is(parseDomain(xml).machine.mac, '52:54:00:aa:aa:aa')
})

test('the cluster ID is recorded, and nothing else changes', () => {
  const { gone, added } = changed(xml, withClusterId(xml, 'abc'))
  assert.equal(
    added.map((line) => line.replace(' cluster-id="abc"', '')),
    gone,
  )
  assert.is(parseDomain(withClusterId(xml, 'abc')).clusterId, 'abc')
})

test('a rebuild replaces metadata, and keeps everything that was added by hand', () => {
  const rebuilt = rebuild(machineOf(cluster))
  const { gone, added } = changed(editDomain(xml, machineOf(cluster)), rebuilt)
  const isMetadata = (line: string): boolean => /talosmith|ns0:/.test(line)
  assert.equal(
    [gone, added].map((lines) => lines.filter((line) => !isMetadata(line))),
    [[], []],
  )
  const domain = parseDomain(rebuilt)
  assert.is(domain.diskNote, 'none')
  assert.equal(domain.own, former)
  assert.is(rebuilt.match(/xmlns:[\w-]+="https:\/\/talosmith/g)?.length, 2)
})

test('a rebuild attaches disk and seed ISO in another pool to the drives that had them', () => {
  const rebuilt = rebuild(machineOf(cluster, '/fast'))
  const { disks, own } = parseDomain(rebuilt)
  assert.equal(own, { disk: '/fast/home-cp1.qcow2', seed: '/fast/home-cp1-seed.iso' })
  assert.equal(
    disks.map(({ target, source }) => `${target} ${source}`),
    ['vdb /data/home-cp1-data.qcow2', 'vda /fast/home-cp1.qcow2'],
  )
  assert.match(rebuilt, '<source file="/iso/drivers.iso"/>')
  assert.match(rebuilt, '<source file="/fast/home-cp1-seed.iso"/>')
})

test('a rebuild uses the own disk again instead of an overlay of it', () => {
  const overlay = xml.replace(
    `${former.disk}'/>`,
    `${pool}/home-cp1.snap1'/><backingStore type='file'/>`,
  )
  const rebuilt = rebuild(machineOf(cluster), overlay)
  assert.equal(
    parseDomain(rebuilt).disks.map(({ source }) => source),
    ['/data/home-cp1-data.qcow2', former.disk],
  )
  assert.not.match(rebuilt, 'backingStore')
})

test('a rebuild adds a drive that was removed by hand', () => {
  const without = xml.replace(
    /<disk type='file' device='disk'>(?:(?!<\/disk>)[\s\S])*vda[\s\S]*?<\/disk>/,
    '',
  )
  assert.equal(
    parseDomain(rebuild(machineOf(cluster), without)).disks.map(({ target }) => target),
    ['vda', 'vdb'],
  )
})

test('a rebuild keeps a loader that was chosen by hand, and changes the kind of firmware', () => {
  assert.match(rebuild(machineOf(cluster)), '/opt/own/OVMF.fd')
  const bios = rebuild(machineOf(testCluster({ UEFI: 'false' })))
  assert.not.match(bios, /loader|nvram|firmware/)
  assert.is(parseDomain(bios).machine.uefi, false)
  const uefi = rebuild(machineOf(cluster), bios)
  assert.match(uefi, '<os firmware="efi">')
  assert.match(uefi, '<feature enabled="no" name="secure-boot"/>')
})

test.run()
