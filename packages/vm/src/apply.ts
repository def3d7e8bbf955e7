import { posix } from 'node:path'
import {
  CommandFailed,
  consoleLog,
  Problem,
  virsh,
  waitFor,
  type Cluster,
  type Host,
  type Log,
  type Node,
} from '@talosmith/core'
import { renderDomain } from './domain-xml.ts'
import { keepChannel } from './drift.ts'
import { editDomain } from './edit-domain.ts'
import { explain } from './explain.ts'
import { typeFor } from './host-facts.ts'
import { describeMachine, plainUri, type Machine } from './machine.ts'
import { partialSuffix } from './observe-files.ts'
import type { ObservedHost } from './observe.ts'
import { domainOf, pathsOf } from './place.ts'
import type { VmChange } from './plan.ts'
import { describeSeed, encodeSeedMarker } from './seed-iso.ts'

/** What carrying out a change needs. */
export interface VmApplyContext {
  readonly cluster: Cluster
  readonly hosts: readonly Host[]
  readonly seen: readonly ObservedHost[]
  readonly log: Log
  /** Cut the power of machines that don't shut down in time. */
  readonly force?: boolean
}

/** One change on its host. */
interface Place {
  readonly cluster: Cluster
  readonly host: Host
  readonly seen: ObservedHost
  readonly log: Log
  readonly force: boolean
  readonly target: string
  readonly path: string
}

/** How long a machine may take to shut itself down. */
const shutdownMs = 180_000
/** A machine that is just starting misses the power button: it is pressed again. */
const pressAgainMs = 15_000

/** Carries out one change; may be repeated. Throws a Problem that says what is now, with the host's own words. */
export async function applyVmChange(
  change: VmChange,
  { cluster, hosts, seen, log, force = false }: VmApplyContext,
): Promise<void> {
  const host = hosts[change.host]
  const observed = seen.find(({ index }) => index === change.host)
  if (host === undefined || observed === undefined) throw new Error(`no host ${change.host}`)
  const { target, path = '' } = change
  try {
    await actions[change.kind]({ cluster, host, seen: observed, log, force, target, path })
  } catch (cause) {
    if (cause instanceof Problem || !(cause instanceof CommandFailed)) throw cause
    throw explain(change, host.name, cause)
  }
}

const actions: Record<VmChange['kind'], (place: Place) => Promise<unknown>> = {
  async 'define-domain'(place) {
    const node = nodeOf(place)
    const { cluster, seen, host } = place
    const origin = {
      image: seen.files.image,
      diskGib: node.diskGib,
      uri: plainUri(cluster, seen.index),
      directIo: seen.directIo,
    }
    // libvirt makes this folder at the first start of a machine without a console log only.
    await host.$`mkdir -p ${posix.dirname(consoleLog(node.name))} 2>/dev/null || true`
    await define(host, renderDomain(wantedMachine(place), origin))
  },
  async 'update-domain'(place) {
    const xml = await virsh(place.host, 'dumpxml', '--inactive', '--security-info', place.target)
    const has = domainOf({ name: place.target }, place.seen)?.machine
    await define(place.host, editDomain(xml, keepChannel(has, wantedMachine(place))))
  },
  async 'drop-channel'(place) {
    const xml = await virsh(place.host, 'dumpxml', '--inactive', '--security-info', place.target)
    await define(place.host, editDomain(xml, { ...wantedMachine(place), guestAgent: false }))
  },
  async 'create-disk'(place) {
    const { diskGib } = nodeOf(place)
    const { host, seen, path } = place
    const partial = path + partialSuffix
    // Never over an existing file, whoever made it meanwhile.
    await host.$`
rm -rf -- ${partial}
qemu-img create -q -f qcow2 -F raw -b ${seen.files.image} ${partial} ${`${diskGib}G`}
mv -nT -- ${partial} ${path}
if [ -e ${partial} ]; then echo ${`${path} has appeared meanwhile`} >&2; exit 1; fi`
  },
  async 'grow-disk'(place) {
    const node = nodeOf(place)
    const { host, seen, path } = place
    const isOff = domainOf(node, seen)?.live.state === 'shut off'
    if (isOff) await host.$`qemu-img resize -q ${path} ${`${node.diskGib}G`}`
    else await virsh(host, 'blockresize', node.name, path, `${node.diskGib}GiB`)
  },
  async 'create-seed'(place) {
    const node = nodeOf(place)
    const { cluster, host, path } = place
    const { metaData, networkConfig, digest } = describeSeed(cluster, node)
    const seal = encodeSeedMarker({ cluster: cluster.name, node: node.name, digest })
    const work = path + partialSuffix
    // Talos looks for the label in the Joliet descriptor first; 1.12.0 didn't see ISOs under 64 KiB.
    await host.$`
rm -rf -- ${work}
mkdir -p -- ${`${work}/files`}
printf %s ${metaData} > ${`${work}/files/meta-data`}
printf %s ${networkConfig} > ${`${work}/files/network-config`}
xorriso -as mkisofs -quiet -V cidata -publisher ${seal.publisher} -A ${seal.application} -J -r -pad -o ${`${work}/seed.iso`} ${`${work}/files`}
chmod 0644 ${`${work}/seed.iso`}
mv -fT -- ${`${work}/seed.iso`} ${path}
rm -rf -- ${work}`
  },
  async 'set-autostart'({ host, target, cluster }) {
    await virsh(host, 'autostart', target, ...(cluster.settings.AUTOSTART ? [] : ['--disable']))
  },
  async 'start-domain'({ host, target }) {
    const state = await virsh(host, 'domstate', target)
    if (state === 'running' || (await wake(host, target, state))) return
    await virsh(host, 'start', target)
  },
  'stop-domain': stop,
  async 'cut-power'({ host, target }) {
    const state = await unlessGone(virsh(host, 'domstate', target))
    if (state !== undefined && state !== 'shut off') await virsh(host, 'destroy', target)
  },
  'remove-disk': ({ host, path }) => host.$`rm -f -- ${path} ${path + partialSuffix}`,
  async 'undefine-domain'({ host, target }) {
    const serial = consoleLog(target)
    const emulator = posix.join(posix.dirname(serial), `${target}.log`)
    // virtlogd keeps older parts of a log beside it: .0, .1, .2
    await host.$`rm -f -- ${serial} ${serial}.[0-9]* ${emulator} ${emulator}.[0-9]*`
    const all = ['--nvram', '--managed-save', '--snapshots-metadata', '--checkpoints-metadata']
    await unlessGone(virsh(host, 'undefine', target, ...all))
  },
  'remove-seed': ({ host, path }) => host.$`rm -rf -- ${path} ${path + partialSuffix}`,
  'remove-leftover': ({ host, path }) => host.$`rm -rf -- ${path}`,
}

async function stop({ host, target, log, force }: Place): Promise<void> {
  let pressed = -Infinity
  try {
    await waitFor(
      `${target} to shut down`,
      async () => {
        const state = await virsh(host, 'domstate', target)
        if (state === 'shut off') return
        // One that stands still does not hear the power button.
        await wake(host, target, state)
        if (performance.now() - pressed > pressAgainMs) {
          pressed = performance.now()
          await virsh(host, 'shutdown', target)
        }
        throw new Error(`it is ${state}`)
      },
      {
        log,
        withinMs: shutdownMs,
        code: 'VM_DOES_NOT_STOP',
        hint: `wait and run the same command again, or cut its power: npx tsx scripts/stop.ts --force`,
      },
    )
  } catch (problem) {
    if (!force) throw problem
    log.warn(`${target} does not shut down: cutting its power`)
    await virsh(host, 'destroy', target)
  }
}

/** Lets a machine that stands still go on; whether it stood still. */
async function wake(host: Host, target: string, state: string): Promise<boolean> {
  if (state === 'paused') await virsh(host, 'resume', target)
  else if (state === 'pmsuspended') await virsh(host, 'dompmwakeup', target)
  else return false
  return true
}

/** What virsh says of a domain; undefined when somebody else removed it meanwhile. */
async function unlessGone(asked: Promise<string>): Promise<string | undefined> {
  try {
    return await asked
  } catch (error) {
    if (
      error instanceof CommandFailed &&
      /failed to get domain|Domain not found/.test(error.stderr)
    )
      return undefined
    throw error
  }
}

/** virsh reads a domain from a file only; bash lends it one, so that nothing is left on the host. */
async function define(host: Host, xml: string): Promise<void> {
  await host.$`virsh -q -c qemu:///system define <(printf %s ${xml})`
}

function wantedMachine(place: Place): Machine {
  const { cluster, seen } = place
  const node = nodeOf(place)
  const type = typeFor(cluster.settings.DOMAIN_TYPE, seen.kvmProblem)
  return describeMachine(cluster, node, pathsOf(cluster, node, seen), type)
}

function nodeOf({ cluster, target }: Pick<Place, 'cluster' | 'target'>): Node {
  const node = cluster.nodes.find(({ name }) => name === target)
  if (node === undefined) throw new Error(`${target} is no machine of ${cluster.name}`)
  return node
}
