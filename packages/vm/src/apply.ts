import {
  Problem,
  virsh,
  waitFor,
  type Cluster,
  type Host,
  type Log,
  type Node,
} from '@talosmith/core'
import { consoleLog, parseDomain, renderDomain } from './domain-xml.ts'
import { describeMachine } from './machine.ts'
import type { ObservedHost } from './observe.ts'
import { domainType, type VmChange } from './plan.ts'
import { buildSeed, describeSeed, seedLabel } from './seed-iso.ts'

/** What carrying out a change needs. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly hosts: readonly Host[]
  readonly seen: readonly ObservedHost[]
  readonly log: Log
}

/** One change on its host. */
interface Place {
  readonly cluster: Cluster
  readonly host: Host
  readonly seen: ObservedHost
  readonly log: Log
  readonly target: string
}

/** How long a machine may take to shut itself down, in milliseconds. */
const shutdownMs = 180_000

/** Carries out one change; may be repeated. Throws VM_CHANGE_FAILED with the host's own words. */
export async function applyChange(
  change: VmChange,
  { cluster, hosts, seen, log }: ApplyContext,
): Promise<void> {
  const host = hosts[change.host]
  const observed = seen.find(({ index }) => index === change.host)
  if (host === undefined || observed === undefined) throw new Error(`no host ${change.host}`)
  try {
    await actions[change.kind]({ cluster, host, seen: observed, log, target: change.target })
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw new Problem(
      'VM_CHANGE_FAILED',
      `${change.target} on ${host.name}: could not ${lowerFirst(change.summary)}`,
      {
        cause,
        now: 'what was done before this step stays, and nothing is half-done',
        hint: 'mend the reason, then run the same command again: it carries on here',
      },
    )
  }
}

const actions: Record<VmChange['kind'], (place: Place) => Promise<unknown>> = {
  async 'create-disk'(place) {
    const node = nodeOf(place)
    const path = place.seen.files.disk(node)
    // A temporary name first: a killed run leaves no half-made disk that would look like a whole one.
    await place.host
      .$`qemu-img create -q -f qcow2 -F raw -b ${place.seen.files.image} ${`${path}.tmp`} ${node.diskGib}G && mv -f ${`${path}.tmp`} ${path}`
  },
  async 'grow-disk'(place) {
    const node = nodeOf(place)
    const path = place.seen.files.disk(node)
    const isRunning = place.seen.domains.some(
      ({ name, state }) => name === node.name && state !== 'shut off',
    )
    if (isRunning) await virsh(place.host, 'blockresize', node.name, 'vda', `${node.diskGib}GiB`)
    else await place.host.$`qemu-img resize -q ${path} ${node.diskGib}G`
  },
  async 'create-seed'(place) {
    const node = nodeOf(place)
    const { metaData, networkConfig, digest } = describeSeed(place.cluster, node)
    await place.host
      .$`bash -c ${buildSeed} talosmith-seed ${place.seen.files.seed(node)} ${seedLabel(digest)} ${metaData} ${networkConfig}`
  },
  'define-domain': (place) => define(place),
  async 'update-domain'(place) {
    const { uuid } = parseDomain(await virsh(place.host, 'dumpxml', '--inactive', place.target))
    await define(place, uuid)
  },
  async 'set-autostart'(place) {
    await virsh(
      place.host,
      'autostart',
      place.target,
      ...(place.cluster.settings.AUTOSTART ? [] : ['--disable']),
    )
  },
  async 'start-domain'({ host, target }) {
    const state = await virsh(host, 'domstate', target)
    if (state === 'running') return
    await virsh(host, state === 'paused' ? 'resume' : 'start', target)
  },
  async 'stop-domain'({ host, target, log }) {
    await virsh(host, 'shutdown', target)
    await waitFor(
      `${target} to shut down`,
      async () => {
        const state = await virsh(host, 'domstate', target)
        if (state !== 'shut off') throw new Error(`it is ${state}`)
      },
      {
        log,
        withinMs: shutdownMs,
        code: 'VM_DOES_NOT_STOP',
        hint: `virsh destroy ${target} on ${host.name} cuts its power`,
      },
    )
  },
  async 'remove-domain'({ host, target }) {
    if ((await virsh(host, 'domstate', target)) !== 'shut off') await virsh(host, 'destroy', target)
    await virsh(host, 'undefine', target, '--nvram')
    await host.$`rm -f ${consoleLog(target)}`
  },
  'remove-disk': ({ host, target }) => host.$`rm -f ${target}`,
  'remove-seed': ({ host, target }) => host.$`rm -f ${target}`,
}

/** virsh reads a domain from a file only, so the XML goes to the host first. */
async function define(place: Place, uuid?: string): Promise<void> {
  const { cluster, host, seen } = place
  const node = nodeOf(place)
  const xml = renderDomain(
    describeMachine(cluster, node, seen.files, domainType(cluster, seen)),
    uuid,
  )
  await host.$({ input: xml })`
    file=$(mktemp /tmp/talosmith-XXXXXX.xml)
    trap 'rm -f "$file"' EXIT
    cat > "$file"
    virsh -q -c qemu:///system define --validate "$file"`
}

function nodeOf({ cluster, target }: Place): Node {
  const node = cluster.nodes.find(({ name }) => name === target)
  if (node === undefined) throw new Error(`${target} is no machine of ${cluster.name}`)
  return node
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
