import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFiles, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { renderDomain } from '../src/domain-xml.ts'
import { editDomain } from '../src/edit-domain.ts'
import { describeMachine, plainUri, type Machine } from '../src/machine.ts'
import { parseDomain } from '../src/parse-domain.ts'
import { firstOf, pool } from './observed-hosts.ts'

const cluster = testCluster()

function machineOf(desired: Cluster, type: 'kvm' | 'qemu' = 'kvm'): Machine {
  const files = hostFiles(desired, pool)
  const node = firstOf(desired)
  return describeMachine(desired, node, { disk: files.disk(node), seed: files.seed(node) }, type)
}

function render(desired: Cluster, type: 'kvm' | 'qemu' = 'kvm', directIo = true): string {
  const image = hostFiles(desired, pool).image
  const uri = plainUri(desired, 0)
  return renderDomain(machineOf(desired, type), { image, diskGib: 20, uri, directIo })
}

/** What `virsh dumpxml --inactive` adds to a domain that was defined and started. */
function dumped(xml: string, more: (xml: string) => string = (text) => text): string {
  const filled = xml
    .replace(/<memory unit="MiB">(\d+)<\/memory>/, (_, mib: string) => {
      const kib = Number(mib) * 1024
      return `<memory unit='KiB'>${kib}</memory><currentMemory unit='KiB'>${kib}</currentMemory>`
    })
    .replace('<title>', '<uuid>ccdd6dc8-e4ef-4fdd-afc1-14d11b8c84e4</uuid><title>')
    .replace('machine="q35"', 'machine="pc-q35-7.2"')
  return more(filled)
}

const variants: readonly [string, string][] = [
  ['as by default', render(cluster)],
  ['emulated', render(cluster, 'qemu')],
  ['with BIOS', render(testCluster({ UEFI: 'false' }))],
  [
    'with the guest agent',
    render(testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })),
  ],
  ['on a libvirt network', render(testCluster({ NETWORK_BRIDGE: '', NETWORK_NAME: 'lan' }))],
  ['with a CPU model', render(testCluster({ CPU_MODEL: 'Skylake-Server' }))],
  ['on a file system without O_DIRECT', render(cluster, 'kvm', false)],
]

/** libvirt's own schema and parser, without any host: the driver that libvirt tests itself with. */
function defineInTestDriver(xml: string): void {
  const folder = temporaryFolder('domain-xml')
  const path = join(folder, 'domain.xml')
  writeFileSync(path, xml.replace(/<domain type="(?:kvm|qemu)"/, '<domain type="test"'))
  execFileSync('virsh', ['-q', '-c', 'test:///default', 'define', '--validate', path], {
    stdio: 'pipe',
  })
}
const withLibvirt = existsSync('/usr/bin/virsh') ? test : test.skip

for (const [what, xml] of variants)
  withLibvirt(`libvirt accepts a domain ${what}`, () => defineInTestDriver(xml))

withLibvirt('libvirt rejects an element that is not in its schema', () => {
  assert.throws(() => defineInTestDriver(render(cluster).replace('<vcpu>', '<bogus/><vcpu>')))
})

test('a rendered domain is parsed as the same machine', () => {
  for (const desired of [cluster, testCluster({ UEFI: 'false', CPU_MODEL: 'Nehalem' })])
    assert.equal(parseDomain(render(desired)).machine, machineOf(desired))
})

test('the metadata names cluster, node, role, host, image and the files that are ours', () => {
  const desired = testCluster({ LIBVIRT_URI: 'qemu+ssh://root@kvm1/system?keyfile=/root/key' })
  const domain = parseDomain(render(desired))
  assert.is(domain.owner, 'home')
  assert.equal(domain.own, { disk: `${pool}/home-cp1.qcow2`, seed: `${pool}/home-cp1-seed.iso` })
  assert.is(domain.madeThrough, 'qemu+ssh://root@kvm1/system')
  assert.match(render(desired), `talosmith:image file="${pool}/talos-v1.13.9-`)
  assert.not.match(render(desired), 'keyfile')
})

test('a domain without our metadata has no owner', () => {
  const xml = render(cluster).replace(/<metadata>.*<\/metadata>/s, '')
  assert.is(parseDomain(xml).owner, undefined)
  assert.is(parseDomain(xml).own, undefined)
})

test('a clone made by hand has our metadata, but no owner', () => {
  const xml = render(cluster).replace('<name>home-cp1</name>', '<name>clone</name>')
  assert.is(parseDomain(xml).owner, undefined)
  assert.is(parseDomain(xml).own, undefined)
})

test('an element of the same name in another namespace is ignored', () => {
  const xml = render(cluster).replace('https://talosmith.dev/xmlns/machine/1.0', 'https://evil/1')
  assert.is(parseDomain(xml).owner, undefined)
})

test('our element is found by its namespace, with any prefix', () => {
  const xml = render(cluster).replaceAll('talosmith:', 'x:').replace('xmlns:talosmith', 'xmlns:x')
  assert.is(parseDomain(xml).owner, 'home')
  assert.is(parseDomain(xml).own?.disk, `${pool}/home-cp1.qcow2`)
})

test('there is a guest-agent channel exactly when the image has the agent', () => {
  assert.not.match(render(cluster), 'guest_agent')
  const withAgent = testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })
  assert.match(render(withAgent), 'name="org.qemu.guest_agent.0"')
})

test('an emulated machine never gets the host CPU', () => {
  assert.match(render(cluster, 'qemu'), '<cpu mode="maximum"/>')
  assert.match(render(cluster, 'kvm'), '<cpu mode="host-passthrough"/>')
})

test('max is libvirt’s maximum', () => {
  assert.match(render(testCluster({ CPU_MODEL: 'max' })), '<cpu mode="maximum"/>')
})

test('secure boot is off, because plain images are not signed', () => {
  assert.match(render(cluster), '<feature enabled="no" name="secure-boot"/>')
})

test('the disk is cached by the host only where O_DIRECT does not work', () => {
  assert.match(render(cluster), 'cache="none" discard="unmap"')
  assert.match(render(cluster, 'kvm', false), 'cache="writeback" discard="unmap"')
})

test('memory changed with virsh setmem is read', () => {
  const xml = dumped(render(cluster)).replace(
    /<currentMemory unit='KiB'>\d+/,
    "<currentMemory unit='KiB'>1048576",
  )
  assert.is(parseDomain(xml).machine.memoryMib, 1024)
  assert.is(parseDomain(xml).machine.maxMemoryMib, 4096)
})

test('CPUs taken offline are not counted', () => {
  const xml = dumped(render(cluster)).replace('<vcpu>2', "<vcpu placement='static' current='1'>2")
  assert.is(parseDomain(xml).machine.cpu, 1)
})

const byHand = (xml: string): string =>
  xml
    .replace(
      '</metadata>',
      "<lib:os xmlns:lib='http://libosinfo.org/1'><lib:id>x</lib:id></lib:os></metadata>",
    )
    .replace(
      '</devices>',
      "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev></devices>",
    )
    .replace(
      '<model type="virtio"/>',
      "<model type='virtio'/><address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>",
    )

test('an edit applies the settings and keeps the rest', () => {
  const before = dumped(render(cluster), byHand)
  const wanted = machineOf(
    testCluster({
      CONTROL_PLANE_MEMORY_MIB: '8192',
      CONTROL_PLANE_CPU: '6',
      TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
      NETWORK_BRIDGE: 'lan',
    }),
  )
  const after = editDomain(before, wanted)
  assert.equal(parseDomain(after).machine, wanted)
  assert.is(parseDomain(after).uuid, 'ccdd6dc8-e4ef-4fdd-afc1-14d11b8c84e4')
  assert.equal(parseDomain(after).own, parseDomain(before).own)
  for (const kept of ['hostdev', 'lib:id', 'bus="0x02"', 'pc-q35-7.2', 'i6300esb'])
    assert.match(after, kept)
})

test('an edit removes the guest-agent channel and keeps other channels', () => {
  const spice =
    "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"
  const before = dumped(
    render(testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })),
    (xml) => xml.replace('</devices>', `${spice}</devices>`),
  )
  const after = editDomain(before, machineOf(cluster))
  assert.not.match(after, 'guest_agent')
  assert.match(after, 'com.redhat.spice.0')
})

test('an edit to emulation also replaces the CPU mode', () => {
  const after = editDomain(dumped(render(cluster)), machineOf(cluster, 'qemu'))
  assert.match(after, '<domain type="qemu">')
  assert.match(after, '<cpu mode="maximum"/>')
})

test('an edit keeps a CPU element with manual changes, if its mode matches', () => {
  const refined =
    "<cpu mode='host-passthrough' check='none'><topology sockets='1' cores='2' threads='1'/></cpu>"
  const before = dumped(render(cluster), (xml) =>
    xml.replace('<cpu mode="host-passthrough"/>', refined),
  )
  assert.match(editDomain(before, machineOf(cluster)), 'cores="2"')
})

withLibvirt('libvirt accepts an edited domain', () => {
  const wanted = machineOf(testCluster({ CONTROL_PLANE_CPU: '6', NETWORK_BRIDGE: 'lan' }), 'qemu')
  const before = dumped(render(cluster), (xml) => byHand(xml).replace(/<hostdev.*<\/hostdev>/, ''))
  defineInTestDriver(editDomain(before, wanted))
})

test('a new domain records that it has no disk; one without a record counts as having had one', () => {
  const xml = render(cluster)
  assert.is(parseDomain(xml).diskNote, 'none')
  assert.is(parseDomain(xml.replace('state="none"', 'state="created"')).diskNote, 'created')
  assert.is(parseDomain(xml.replace(/<talosmith-disk:disk[^>]*>/, '')).diskNote, 'created')
  // As libvirt writes it.
  const rewritten = xml.replaceAll('talosmith-disk', 'ns0')
  assert.is(parseDomain(rewritten).diskNote, 'none')
  assert.is(parseDomain(editDomain(xml, machineOf(cluster))).diskNote, 'none')
})

test('the disks of a domain, of every type', () => {
  const disk = (type: string, source: string, more = ''): string =>
    `<disk type="${type}"${more}><source ${source}/><target dev="vd"/></disk>`
  const xml = `<domain><name>x</name><devices>${[
    disk('file', 'file="/a b"'),
    disk('block', 'dev="/dev/vg/a"', ' device="disk"'),
    disk('volume', 'pool="p" volume="v"'),
    disk('network', 'protocol="rbd" name="p/i"'),
    disk('file', 'file="/cd.iso"', ' device="cdrom"'),
  ].join('')}</devices></domain>`
  assert.equal(
    parseDomain(xml).disks.map(({ type, source }) => `${type} ${source}`),
    ['file /a b', 'block /dev/vg/a', 'volume v', 'network p/i'],
  )
})

test('the backing chain of a disk, as far as libvirt reports it', () => {
  const backingOf = (inside: string): readonly string[] | undefined =>
    parseDomain(
      `<domain><name>a</name><devices><disk type="file" device="disk"><source file="/a"/><target dev="vda"/>${inside}</disk></devices></domain>`,
    ).disks[0]?.backing
  const below = (path: string, inside: string): string =>
    `<backingStore type="file"><format type="qcow2"/><source file="${path}"/>${inside}</backingStore>`
  assert.is(backingOf('<driver type="qcow2"/>'), undefined)
  assert.is(backingOf(below('/b', '')), undefined)
  assert.equal(backingOf('<driver type="raw"/>'), [])
  assert.equal(backingOf('<backingStore/>'), [])
  assert.equal(backingOf(below('/b', below('/c', '<backingStore/>'))), ['/b', '/c'])
})

test('letters that libvirt writes as numbers are read, and kept in an edit', () => {
  // Without an encoding, libxml2 writes everything but ASCII as numeric character references.
  const named = '/pools/B\u00fcro \u{1F600} & Co'
  const numbers = '/pools/B&#xFC;ro &#128512; &amp; Co'
  const xml = dumped(render(cluster)).replaceAll(pool, numbers)
  const domain = parseDomain(xml)
  const { disk, seed } = machineOf(cluster)
  assert.is(domain.machine.disk, disk.replace(pool, named))
  assert.is(domain.own?.seed, seed.replace(pool, named))
  const edited = editDomain(xml, { ...domain.machine, memoryMib: 4096 })
  assert.is(parseDomain(edited).machine.disk, domain.machine.disk)
  assert.match(edited, 'B&#xFC;ro &#128512; &amp; Co')
  assert.not.match(edited, '&amp;#')
})

test.run()
