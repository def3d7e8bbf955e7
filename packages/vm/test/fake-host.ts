/** A host with fake answers to virsh and to the observing command. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { clusterIdFile, hostFiles, type Cluster } from '@talosmith/core'
import { recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { renderDomain } from '../src/domain-xml.ts'
import { describeMachine } from '../src/machine.ts'
import { describeSeed, encodeSeedMarker } from '../src/seed-iso.ts'
import { answerBatch, type VirshOutput } from './fake-virsh.ts'
import { clusterId, firstOf, pool } from './observed-hosts.ts'

export const capabilities =
  "<domainCapabilities><os><enum name='firmware'><value>efi</value></enum></os></domainCapabilities>"

/** The contents of a host, and outputs of virsh that replace the defaults. */
export interface Fake {
  /** The XML of existing domains, by name. */
  readonly domains?: Readonly<Record<string, string>>
  readonly files?: readonly string[]
  readonly hasImage?: boolean
  /** Overrides, by the beginning of the virsh command. */
  readonly virsh?: Readonly<Record<string, VirshOutput>>
}

/** A host without problems, on which `domains` run. */
export function fakeHost({ domains = {}, files = [], hasImage = true, virsh = {} }: Fake = {}) {
  const names = Object.keys(domains)
  const answer = (words: string): VirshOutput => {
    const own = Object.entries(virsh).find(([start]) => words.startsWith(start))
    if (own !== undefined) return own[1]
    if (words.startsWith('pool-dumpxml'))
      return `<pool type='dir'><name>default</name><target><path>${pool}</path></target></pool>`
    if (words.startsWith('pool-list')) return 'default'
    if (words.startsWith('list')) return names.join('\n')
    if (words.startsWith('domstats'))
      return names
        .map((name) => `Domain: '${name}'\n  state.state=1\n  balloon.maximum=4194304\n`)
        .join('\n')
    if (words.startsWith('domcapabilities')) return capabilities
    if (words.startsWith('net-list')) return 'default'
    if (words.startsWith('net-dumpxml')) return '<network/>'
    if (words.startsWith('echo')) return ''
    const name = words.split(' ').at(-1) ?? ''
    return withUuid(domains[name]) ?? { error: `failed to get domain '${name}'` }
  }
  const image = hasImage ? ['image'] : []
  const folders = ['seedfolder', 'writable', 'seedwritable']
  const facts = [...image, 'direct', 'kvm', 'flag', 'bridge br0', ...folders, 'memory 64000000']
  return recordingHost(
    (command) =>
      answerBatch(command, answer) ??
      domains[/^virsh .*dumpxml .*?([\w-]+)$/.exec(command)?.[1] ?? ''] ??
      [...facts, 'free 1000000000000', ...files].join('\n'),
  )
}

/** libvirt gives every domain a UUID; here it is the name. */
function withUuid(xml: string | undefined): string | undefined {
  return xml?.replace(/<name>(.*?)<\/name>/, '<uuid>$1</uuid>$&')
}

/** The XML of a machine as vm:create leaves it. */
export function domainXml(
  desired: Cluster,
  name: string,
  id: string | undefined = clusterId,
): string {
  const node = desired.nodes.find((one) => one.name === name) ?? desired.nodes[0]
  if (node === undefined) throw new Error('no nodes')
  const files = hostFiles(desired, pool)
  return renderDomain(
    describeMachine(desired, node, { disk: files.disk(node), seed: files.seed(node) }, 'kvm'),
    {
      clusterId: id,
      image: files.image,
      diskGib: node.diskGib,
      uri: 'qemu:///system',
      directIo: true,
    },
  ).replace('state="none"', 'state="created"')
}

/** The test cluster with a `generated/` of its own, which has the ID that `domainXml` writes by default. */
export function ownCluster(
  settings: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = { [clusterIdFile]: clusterId },
): Cluster {
  const cluster = testCluster(settings, temporaryFolder('vm'))
  mkdirSync(cluster.generated, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(cluster.generated, name)), { recursive: true })
    writeFileSync(join(cluster.generated, name), text)
  }
  return cluster
}

/** The line of the observing command about the seed ISO of home-cp1, which has the cluster ID `id`, or none. */
export function seedLine(cluster: Cluster, id: string | undefined): string {
  const { digest } = describeSeed(cluster, firstOf(cluster))
  const seal = encodeSeedMarker({ cluster: 'home', clusterId: id, node: 'home-cp1', digest })
  const sector = Buffer.alloc(2048, ' ')
  sector.write('CD001', 1)
  sector.write('cidata', 40)
  sector.write(seal.publisher, 318)
  sector.write(seal.application, 574)
  return `seed ${sector.toString('base64')} 65536 ${pool}/home-cp1-seed.iso`
}
