/** Applies the changes of a plan: virsh, qemu-img and xorriso on the hosts. */
import { posix } from 'node:path'
import {
  clusterOn,
  CommandFailed,
  consoleLog,
  nodeNamed,
  poolFiles,
  Problem,
  uploadSuffix,
  virsh,
  waitFor,
  type Cluster,
  type Host,
  type Log,
  type Node,
  type RunOptions,
} from '@talosmith/core'
import { writeDiskNote } from './disk-note.ts'
import { renderDomain } from './domain-xml.ts'
import { keepChannel } from './drift.ts'
import { editDomain, withClusterId } from './edit-domain.ts'
import { explain } from './explain.ts'
import { typeFor } from './host-facts.ts'
import { lostDiskProblem } from './lost-disks.ts'
import { describeMachine, plainUri, type Machine } from './machine.ts'
import { partialSuffix } from './observed-files.ts'
import type { ObservedHost } from './observe.ts'
import { domainOf, pathsOf } from './place.ts'
import {
  elementOf,
  updatesToRelease,
  updatesToReserve,
  type NetworkUpdate,
} from './reservations.ts'
import type { VmChange } from './vm-change.ts'
import { describeSeed, encodeSeedMarker } from './seed-iso.ts'

/** What applying a change needs. */
export interface VmApplyContext {
  readonly cluster: Cluster
  readonly hosts: readonly Host[]
  readonly observedHosts: readonly ObservedHost[]
  /** The cluster's ID; changes that remove something need none. */
  readonly clusterId?: string | undefined
  readonly log: Log
  /** Cut the power of machines that don't shut down in time. */
  readonly force?: boolean
}

/** What one change is applied to. */
interface Place {
  readonly cluster: Cluster
  readonly host: Host
  readonly observed: ObservedHost
  readonly clusterId: string | undefined
  readonly log: Log
  readonly force: boolean
  readonly target: string
  readonly path: string
}

/** Timeout of a graceful shutdown. */
const shutdownMs = 180_000
/** A guest that is still booting ignores the ACPI power button, so it is pressed repeatedly. */
const pressAgainMs = 15_000

/** Applies one change; idempotent. Throws a Problem with the resulting state and the host's own error output. */
export async function applyVmChange(
  change: VmChange,
  { cluster, hosts, observedHosts, clusterId, log, force = false }: VmApplyContext,
): Promise<void> {
  const host = hosts[change.host]
  const observed = observedHosts.find(({ index }) => index === change.host)
  if (host === undefined || observed === undefined) throw new Error(`no host ${change.host}`)
  const { target, path = '' } = change
  const here = clusterOn(cluster, change.host)
  try {
    await actions[change.kind]({
      cluster: here,
      host,
      observed,
      clusterId,
      log,
      force,
      target,
      path,
    })
  } catch (cause) {
    if (cause instanceof Problem || !(cause instanceof CommandFailed)) throw cause
    const lost = change.kind === 'start-domain' && lostDiskProblem(cluster, observedHosts, target)
    if (!lost) throw explain(change, host.name, cause)
    const { code, message, because, hint } = lost
    throw new Problem(code, message, { because, hint, cause, now: `${target} is not running` })
  }
}

const actions: Record<VmChange['kind'], (place: Place) => Promise<unknown>> = {
  async 'define-domain'(place) {
    const node = nodeOf(place)
    const { cluster, observed, host, clusterId } = place
    const origin = {
      clusterId,
      image: observed.files.image,
      diskGib: node.diskGib,
      uri: plainUri(cluster, observed.index),
      directIo: observed.directIo,
    }
    // libvirt creates this folder only when it starts a machine that has no console log.
    await host.$`mkdir -p ${posix.dirname(consoleLog(node.name))} 2>/dev/null || true`
    await define(host, renderDomain(wantedMachine(place), origin))
  },
  async 'update-domain'(place) {
    const xml = await virsh(place.host, 'dumpxml', '--inactive', '--security-info', place.target)
    const has = domainOf({ name: place.target }, place.observed)?.machine
    await define(place.host, editDomain(xml, keepChannel(has, wantedMachine(place))))
  },
  async 'note-cluster-id'({ host, target, clusterId = '' }) {
    const xml = await virsh(host, 'dumpxml', '--inactive', '--security-info', target)
    await define(host, withClusterId(xml, clusterId))
  },
  async 'drop-channel'(place) {
    const xml = await virsh(place.host, 'dumpxml', '--inactive', '--security-info', place.target)
    await define(place.host, editDomain(xml, { ...wantedMachine(place), guestAgent: false }))
  },
  async 'create-disk'(place) {
    const { diskGib } = nodeOf(place)
    const { host, observed, path } = place
    const partial = path + partialSuffix
    // Never overwrites a file that another process has created in the meantime.
    await host.$(filesOf(place))`: create the disk
eval "$POOL_FILES"
pool_overlay ${observed.files.image} ${path} ${partial} ${diskGib}`
    await writeDiskNote(host, place.target, 'created')
  },
  'record-disk': ({ host, target }) => writeDiskNote(host, target, 'created'),
  async 'grow-disk'(place) {
    const node = nodeOf(place)
    const { host, observed, path } = place
    const isOff = domainOf(node, observed)?.live.state === 'shut off'
    if (isOff)
      await host.$(filesOf(place))`: grow the disk
eval "$POOL_FILES"
pool_resize ${path} ${node.diskGib}`
    else await virsh(host, 'blockresize', node.name, path, `${node.diskGib}GiB`)
  },
  async 'create-seed'(place) {
    const node = nodeOf(place)
    const { cluster, clusterId, host, path } = place
    const { metaData, networkConfig, digest } = describeSeed(cluster, node)
    const seal = { cluster: cluster.name, clusterId, node: node.name, digest }
    const identifiers = encodeSeedMarker(seal)
    // Talos looks for the label in the Joliet descriptor first; 1.12.0 did not detect ISOs under 64 KiB.
    await host.$(filesOf(place))`: create the seed ISO
eval "$POOL_FILES"
work=$(pool_work ${path + partialSuffix})
mkdir -- "$work/files"
printf %s ${metaData} > "$work/files/meta-data"
printf %s ${networkConfig} > "$work/files/network-config"
xorriso -as mkisofs -quiet -V cidata -publisher ${identifiers.publisher} -A ${identifiers.application} -J -r -pad -o "$work/seed.iso" "$work/files"
pool_put "$work/seed.iso" ${path}
rm -rf -- "$work"`
  },
  async 'set-autostart'({ host, target, cluster }) {
    await virsh(host, 'autostart', target, ...(cluster.settings.AUTOSTART ? [] : ['--disable']))
  },
  async 'start-domain'({ host, target, observed }) {
    if (domainOf({ name: target }, observed)?.diskNote === 'none')
      await writeDiskNote(host, target, 'created')
    const state = await virsh(host, 'domstate', target)
    if (state === 'running' || (await wake(host, target, state))) return
    await virsh(host, 'start', target)
  },
  'stop-domain': stop,
  async 'cut-power'({ host, target }) {
    const state = await unlessGone(virsh(host, 'domstate', target))
    if (state !== undefined && state !== 'shut off') await virsh(host, 'destroy', target)
  },
  async 'remove-disk'(place) {
    const { host, target, path } = place
    // Before the file is gone: a run that is killed in between did not lose the disk.
    await unlessGone(writeDiskNote(host, target, 'none'))
    await removeFiles(place, path, path + partialSuffix)
  },
  async 'undefine-domain'({ host, target }) {
    const serial = consoleLog(target)
    const emulator = posix.join(posix.dirname(serial), `${target}.log`)
    // virtlogd rotates logs to .0, .1, .2. They stay where only root may remove them: logrotate ends them.
    await host.$`if [ -w ${posix.dirname(serial)} ]; then rm -f -- ${serial} ${serial}.[0-9]* ${emulator} ${emulator}.[0-9]*; fi`
    const all = ['--nvram', '--managed-save', '--snapshots-metadata', '--checkpoints-metadata']
    await unlessGone(virsh(host, 'undefine', target, ...all))
  },
  'remove-seed': (place) =>
    removeFiles(place, place.path, place.path + partialSuffix, place.path + uploadSuffix),
  // What was uploaded only in part goes before its marker.
  'remove-leftover': (place) =>
    place.path.endsWith(uploadSuffix)
      ? removeFiles(place, place.path.slice(0, -uploadSuffix.length), place.path)
      : removeFiles(place, place.path),
  'reserve-address': (place) =>
    updateNetwork(place, updatesToReserve(place.cluster, place.observed, place.target)),
  'release-address': (place) =>
    updateNetwork(place, updatesToRelease(place.cluster, place.observed, place.target)),
}

/**
 * Changes reservations one after another; virsh takes text that begins with < for XML (tools/virsh-network.c). Without
 * an index libvirt takes the first `ip` element with DHCP, also one of IPv6 (src/conf/network_conf.c).
 */
async function updateNetwork(
  { host, cluster, observed }: Place,
  updates: readonly NetworkUpdate[],
): Promise<void> {
  const network = cluster.settings.NETWORK_NAME ?? ''
  const { dhcpIndexes } = observed.networks
  for (const { command, reservation, scopes } of updates)
    for (const index of new Set(scopes.map((scope) => dhcpIndexes.get(scope)))) {
      const flags = [
        ...(index === undefined ? [] : ['--parent-index', `${index}`]),
        ...scopes.filter((scope) => dhcpIndexes.get(scope) === index).map((scope) => `--${scope}`),
      ]
      const what = elementOf(reservation)
      const updated = virsh(host, 'net-update', network, command, 'ip-dhcp-host', what, ...flags)
      // Machines that exchange addresses remove each other's reservations.
      await (command === 'delete' ? unlessGone(updated) : updated)
    }
}

function removeFiles(place: Place, ...paths: readonly string[]): Promise<unknown> {
  return place.host.$(filesOf(place))`: remove files
eval "$POOL_FILES"
pool_remove ${paths}`
}

function filesOf({ cluster }: Pick<Place, 'cluster'>): RunOptions {
  return poolFiles(cluster.settings.STORAGE_POOL)
}

async function stop({ host, target, log, force }: Place): Promise<void> {
  let pressed = -Infinity
  try {
    await waitFor(
      `${target} to shut down`,
      async () => {
        const state = await virsh(host, 'domstate', target)
        if (state === 'shut off') return
        // A paused or suspended guest does not get the ACPI power button.
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

/** Resumes a paused or suspended machine; returns whether it was one. */
async function wake(host: Host, target: string, state: string): Promise<boolean> {
  if (state === 'paused') await virsh(host, 'resume', target)
  else if (state === 'pmsuspended') await virsh(host, 'dompmwakeup', target)
  else return false
  return true
}

/** The output of a virsh command; undefined when the domain or reservation no longer exists. */
async function unlessGone<T>(output: Promise<T>): Promise<T | undefined> {
  try {
    return await output
  } catch (error) {
    if (
      error instanceof CommandFailed &&
      /failed to get domain|Domain not found|couldn't locate a matching dhcp host/.test(
        error.stderr,
      )
    )
      return undefined
    throw error
  }
}

/**
 * virsh defines a domain from a file only; process substitution leaves no file on the host. The XML is the
 * standard input, not an argument, which every user of the host can read: it may have a password for graphics.
 */
async function define(host: Host, xml: string): Promise<void> {
  await host.$({ input: xml })`exec 3<&0; virsh -q -c qemu:///system define <(cat <&3)`
}

function wantedMachine(place: Place): Machine {
  const { cluster, observed } = place
  const node = nodeOf(place)
  const type = typeFor(cluster.settings.DOMAIN_TYPE, observed.kvmProblem)
  return describeMachine(cluster, node, pathsOf(cluster, node, observed), type)
}

function nodeOf({ cluster, target }: Pick<Place, 'cluster' | 'target'>): Node {
  return nodeNamed(cluster, target)
}
