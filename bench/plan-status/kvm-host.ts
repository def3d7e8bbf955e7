/**
 * A KVM host for SSH and virsh: a real sshd on a loopback port, libvirt's test driver under the name
 * `qemu:///system`, and a pool with the files of a complete cluster. It counts the SSH commands and virsh processes.
 */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clusterIdFile, hostFiles, type Cluster } from '@talosmith/core'
import { startSshd } from '@talosmith/core/testing'
import { ledgerKey } from '@talosmith/image/testing'
import { describeMachine, describeSeed, renderDomain } from '@talosmith/vm'
import { encodeSeedMarker } from '@talosmith/vm/testing'

export interface KvmHost {
  readonly uri: string
  /** Makes the machines of a cluster the only ones on the host. */
  put(cluster: Cluster): void
  /** Commands over SSH and virsh processes since the last call. */
  counts(): { readonly ssh: number; readonly virsh: number }
  stop(): Promise<void>
}

const sector = 2048
const clusterId = 'a3b1c7d2-0000-4000-8000-00000000c0de'

export async function startKvmHost(folder: string): Promise<KvmHost> {
  const file = (name: string): string => join(folder, name)
  const pool = file('pool')
  mkdirSync(pool)
  mkdirSync(file('bin'))
  program(
    file('bin/virsh'),
    `echo >>${file('virsh.count')}; shift 3; exec /usr/bin/virsh -q -c test://${file('host.xml')} "$@"`,
  )
  program(
    file('session'),
    `echo >>${file('ssh.count')}; export PATH=${file('bin')}:$PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"`,
  )
  const sshd = await startSshd(['ed25519'], [`ForceCommand ${file('session')}`])
  const count = (name: string): number => takeCount(file(name))
  return {
    uri: sshd.uri,
    put(cluster) {
      putFiles(cluster, pool)
      writeFileSync(file('host.xml'), hostXml(cluster, pool))
    },
    counts: () => ({ ssh: count('ssh.count'), virsh: count('virsh.count') }),
    stop: () => sshd.stop(),
  }
}

function hostXml(cluster: Cluster, pool: string): string {
  const files = hostFiles(cluster, pool)
  const domains = cluster.nodes.map((node) => {
    const own = { disk: files.disk(node), seed: files.seed(node) }
    const uri = cluster.settings.LIBVIRT_URI[0] ?? ''
    const origin = { clusterId, image: files.image, diskGib: node.diskGib, uri, directIo: true }
    // The test driver has one domain type: its own.
    return renderDomain(describeMachine(cluster, node, own, 'qemu'), origin)
      .replace(/<\?xml[^>]*\?>/, '')
      .replace('type="qemu"', 'type="test"')
      .replace('state="none"', 'state="created"')
  })
  return `<node>
    <network><name>default</name><forward mode="bridge"/><bridge name="br0"/></network>
    <pool type="dir"><name>default</name><target><path>${pool}</path></target></pool>
    ${domains.join('\n')}
  </node>`
}

function putFiles(cluster: Cluster, pool: string): void {
  const files = hostFiles(cluster, pool)
  writeFileSync(files.image, Buffer.alloc(sector))
  const { mtimeNs } = statSync(files.image, { bigint: true })
  const modified = `${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`
  const entry = {
    url: cluster.image.url,
    schematic: cluster.schematic.id,
    version: cluster.settings.TALOS_VERSION,
    raw: { bytes: sector, sha256: 'a'.repeat(64) },
    at: new Date().toISOString(),
  }
  writeFileSync(files.ledger, JSON.stringify({ ...entry, modified }))
  mkdirSync(cluster.generated, { recursive: true, mode: 0o700 })
  const ledger = { [ledgerKey(cluster)]: entry }
  writeFileSync(join(cluster.generated, 'images.json'), JSON.stringify(ledger), { mode: 0o600 })
  writeFileSync(join(cluster.generated, clusterIdFile), clusterId, { mode: 0o600 })
  for (const node of cluster.nodes) {
    writeFileSync(files.disk(node), overlay(node.diskGib, files.image))
    const { digest } = describeSeed(cluster, node)
    writeFileSync(
      files.seed(node),
      seed(encodeSeedMarker({ cluster: cluster.name, clusterId, node: node.name, digest })),
    )
  }
}

function overlay(gib: number, image: string): Buffer {
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeBigUInt64BE(1024n, 8)
  header.writeUInt32BE(image.length, 16)
  header.writeBigUInt64BE(BigInt(gib) * 2n ** 30n, 24)
  header.write(image, 1024)
  return header
}

function seed({ publisher, application }: ReturnType<typeof encodeSeedMarker>): Buffer {
  const iso = Buffer.alloc(32 * sector)
  iso.write('CD001', 16 * sector + 1)
  iso.write('cidata'.padEnd(32), 16 * sector + 40)
  iso.write(publisher.padEnd(128), 16 * sector + 318)
  iso.write(application.padEnd(128), 16 * sector + 574)
  return iso
}

/** Writes a program of a few lines of shell. */
export function program(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
}

/** How often a counting program was started since the last call. */
export function takeCount(path: string): number {
  const count = readFileSync(path, { encoding: 'utf8', flag: 'a+' }).length
  writeFileSync(path, '')
  return count
}
