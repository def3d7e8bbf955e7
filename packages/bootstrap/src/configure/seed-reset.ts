/** Resets a machine that does not get past reading its seed ISO, once, if it provably has no config and no data. */
import {
  elementsAt,
  lastBoot,
  machineHost,
  ownerByMetadata,
  parseXml,
  readClusterId,
  readConsole,
  readDomainMetadata,
  reasonOf,
  seedStall,
  textAt,
  virsh,
  virshBatch,
  type Cluster,
  type Host,
  type Log,
  type Node,
  type SeedStall,
} from '@talosmith/core'

/** What the watch needs; without hosts it sees nothing. */
interface Tools {
  readonly cluster: Cluster
  readonly log: Log
  readonly hosts?: (() => Promise<readonly Host[]>) | undefined
}

/** How many checks share one look at the console: each is a command on the host. */
const checksPerLook = 10
/** The disk of a new machine is an empty overlay; the first boot with a config writes far more. */
const emptyBytes = 8 * 1024 ** 2

/** Watches the boot of one machine that does not answer. */
export interface SeedWatch {
  /** Looks at every tenth call; what it found: that the machine stands at its seed ISO, and what was done about it. */
  look(): Promise<string | undefined>
  /** Whether the machine was reset since the last call. */
  hasReset(): boolean
}

/** Creates the watch of one machine, which resets it at most once. */
export function createSeedWatch(tools: Tools, node: Node): SeedWatch {
  let checks = 0
  let resets = 0
  let told = 0
  let found: string | undefined
  return {
    async look() {
      if (checks++ % checksPerLook === 0)
        found = await findStall(tools, node, resets > 0).then(
          (stall) => {
            if (stall?.isReset === true) resets++
            return stall?.text
          },
          // Hosts are not needed to configure machines.
          () => undefined,
        )
      return found
    },
    hasReset() {
      const has = resets > told
      told = resets
      return has
    },
  }
}

async function findStall(
  { cluster, log, hosts }: Tools,
  node: Node,
  wasReset: boolean,
): Promise<{ readonly text: string; readonly isReset: boolean } | undefined> {
  const host = await machineHost((await hosts?.()) ?? [], node)
  const end = host && (await readConsole(host, node.name))
  if (host === undefined || end === undefined || 'reason' in end) return undefined
  const stall = seedStall(lastBoot(end.lines), end.quietS)
  if (stall === undefined) return undefined
  const text = `it stands at its seed ISO: its console ends with "${shortened(stall)}"`
  if (wasReset) return { text: `${text}, again after a reset`, isReset: false }
  const [xml, disk] = await virshBatch(host, [
    ['dumpxml', node.name],
    ['domblkinfo', node.name, 'vda'],
  ])
  const owner = { name: cluster.name, id: await readClusterId(cluster) }
  const problem = resetProblem(owner, xml?.stdout ?? '', disk?.stdout ?? '')
  if (problem !== undefined) return { text: `${text}; it is not reset: ${problem}`, isReset: false }
  log.warn(
    `${node.name} has stood at its seed ISO for ${stall.seconds} s, where two readers of Talos can wait for each other; it has no config yet (Talos reads a seed only then) and no data (its disk is as empty as a new one): resetting it, once`,
  )
  try {
    await virsh(host, 'reset', node.name)
  } catch (error) {
    return { text: `${text}; virsh reset failed: ${reasonOf(error)}`, isReset: false }
  }
  return { text: `${text}; it was reset`, isReset: true }
}

function shortened({ line }: SeedStall): string {
  return line.replace(/^\[ *[\d.]+\] /, '').replace(/ *\{.*$/, '')
}

/**
 * Why a machine that stands at its seed ISO must not be reset: it may be another cluster's, or have data. Undefined: it
 * is ours, and nothing was ever written to the disk that was created for it. Pure; reads `virsh dumpxml` and
 * `virsh domblkinfo <machine> vda`.
 */
export function resetProblem(
  owner: { readonly name: string; readonly id: string | undefined },
  xml: string,
  blockInfo: string,
): string | undefined {
  if (xml === '') return 'its definition cannot be read'
  const document = parseXml(xml)
  const machine = readDomainMetadata(document)
  const whose = ownerByMetadata(machine, owner)
  if (machine === undefined || whose === 'another')
    return `it is not a machine of this cluster ${owner.name}`
  // vm:create gives machines from before IDs one.
  if (whose === 'unknown') return 'its metadata or generated/ has no cluster ID'
  const used = elementsAt(document, 'domain', 'devices', 'disk')
    .filter((disk) => textAt(disk, 'target', '@dev') === 'vda')
    .map((disk) => textAt(disk, 'source', '@file'))
  if (used.length !== 1 || used[0] !== machine.disk)
    return `its disk is ${used[0] ?? 'unknown'}, not the one that was created for it`
  // Of a running machine, Allocation counts from its start, and Physical is the file's length (qemu_driver.c,
  // qemuDomainGetBlockInfo).
  const bytes = Math.max(
    ...['Allocation', 'Physical'].map((field) =>
      Number(new RegExp(`^${field}: +(\\d+)$`, 'm').exec(blockInfo)?.[1] ?? NaN),
    ),
  )
  if (Number.isNaN(bytes)) return 'how much is on its disk cannot be read'
  return bytes <= emptyBytes
    ? undefined
    : `its disk holds ${Math.round(bytes / 1024 ** 2)} MiB, more than a new one`
}
