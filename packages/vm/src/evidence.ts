import {
  consoleLog,
  parseLabelledLines,
  plainLines,
  virshBatch,
  type Cluster,
  type Host,
  type Node,
} from '@talosmith/core'
import { parseDomain, type ParsedDomain } from './parse-domain.ts'
import { descriptorSector, readLabel } from './seed-iso.ts'

/** What a host knows of one machine besides its definition: how it is now, and what it did last. */
export interface MachineEvidence {
  /** libvirt's word for the state, and why it is in it: 'paused', 'I/O error'. */
  readonly state: string
  readonly stateReason: string
  /** What the disks complain of; empty: nothing. */
  readonly diskErrors: string
  /** The machine as it runs; undefined: it does not. */
  readonly running: ParsedDomain['machine'] | undefined
  /** Whether we may look at the ISO in its drive, or at the folder in which it is not. */
  readonly isSeedKnown: boolean
  /** The label of the ISO in its drive; undefined: there is no such file, it is no ISO, or is not known. */
  readonly seedLabel: string | undefined
  /** The end of its serial console, line by line; empty where it can't be read. */
  readonly console: readonly string[]
  /** MAC addresses that answer for the machine's address; none: nobody does. */
  readonly answering: readonly string[]
  /** Other addresses at which the machine's own MAC was seen. */
  readonly elsewhere: readonly string[]
  /** Whether the host itself reaches the machine's Talos API. */
  readonly opens: boolean
  /** The same of its API server. */
  readonly opensApi: boolean
}

/** What a host knows of its machines, and of the network that they are in. */
export interface HostEvidence {
  readonly host: string
  /** By machine name. */
  readonly machines: ReadonlyMap<string, MachineEvidence>
  /** Whether anybody answers for the gateway's address; undefined: it is not in the host's network. */
  readonly gatewayAnswers: boolean | undefined
  /** MAC addresses that answer for CLUSTER_VIP. */
  readonly vipAnswering: readonly string[]
}

const ports = { talos: 50_000, kubernetes: 6443 }
/** Enough for the last boots; a machine writes some 30 KiB a boot. */
const consoleBytes = 120_000

/** Looks at the machines of `nodes` on a host, in one virsh process and one command. */
export async function observeEvidence(
  host: Host,
  { settings, vip }: Pick<Cluster, 'settings' | 'vip'>,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
): Promise<HostEvidence> {
  const [answers, text] = await Promise.all([
    virshBatch(
      host,
      nodes.flatMap(({ name }) => [
        ['domstate', name, '--reason'],
        ['domblkerror', name],
        ['dumpxml', name],
      ]),
    ),
    look(host, nodes, seeds, settings.NETWORK_GATEWAY, vip),
  ])
  const seen = readLook(text)
  const machines = nodes.map((node, index): readonly [string, MachineEvidence] => {
    const [state, errors, xml] = answers.slice(index * 3)
    const [, word = 'unknown', reason = ''] =
      /^(.+?)(?: \((.*)\))?$/m.exec(state?.stdout.trim() ?? '') ?? []
    const isActive = /^(?:running|paused|idle|in shutdown|pmsuspended)/.test(word)
    return [
      node.name,
      {
        state: word,
        stateReason: reason,
        diskErrors: /^No errors found/m.test(errors?.stdout ?? '')
          ? ''
          : (errors?.stdout.trim() ?? ''),
        running: isActive && xml?.error === undefined ? machineIn(xml?.stdout) : undefined,
        isSeedKnown: seen.labels.has(node.name),
        seedLabel: seen.labels.get(node.name),
        console: seen.consoles.get(node.name) ?? [],
        answering: seen.macsOf(node.address),
        elsewhere: seen
          .addressesOf(node.mac)
          .filter((address) => address !== node.address && address !== vip),
        opens: seen.open.has(`${node.address} ${ports.talos}`),
        opensApi: seen.open.has(`${node.address} ${ports.kubernetes}`),
      },
    ]
  })
  const { NETWORK_GATEWAY: gateway } = settings
  return {
    host: host.name,
    machines: new Map(machines),
    gatewayAnswers: seen.asked.has(gateway) ? !seen.silent.has(gateway) : undefined,
    vipAnswering: vip === undefined ? [] : seen.macsOf(vip),
  }
}

function machineIn(xml = ''): ParsedDomain['machine'] | undefined {
  return xml === '' ? undefined : parseDomain(xml).machine
}

/**
 * Asks who has each address. Where the host has an arping that we may use, its answers count: the table of
 * neighbours, filled by connecting, remembers for a minute a machine that is gone, and of two only the first.
 */
async function look(
  host: Host,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  gateway: string,
  vip: string | undefined,
): Promise<string> {
  const { stdout } = await host.$({ timeoutMs: 20_000, nothrow: true })`
knock() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "open $1 $2"; }
if command -v arping >/dev/null; then arping=arping; else arping='busybox arping'; fi
shout() {
  link=$(ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  said=$($arping -c 2 -w 2 -I "$link" "$1" 2>/dev/null) || true
  case $said in *Received*) echo "shouted $1" ;; esac
  sed -n "s/.*\\[\\(..:..:..:..:..:..\\)\\].*/heard $1 \\1/p" <<<"$said"
}
for address in ${nodes.map(({ address }) => address)}; do knock "$address" ${ports.talos} & knock "$address" ${ports.kubernetes} & shout "$address" & done
for vip in ${vip === undefined ? [] : [vip]}; do knock "$vip" ${ports.kubernetes} >/dev/null & shout "$vip" & done
knock ${gateway} 9 >/dev/null &
wait
macs=(${nodes.flatMap(({ mac }) => ['-e', mac])})
for address in $(ip -o -4 neigh show | grep -iF "\${macs[@]}" | cut -d ' ' -f 1); do
  case " "${nodes.map(({ address }) => address).join(' ')}" " in *" $address "*) ;; *) shout "$address" & ;; esac
done
wait
ip -o -4 neigh show | sed 's/^/neigh /'
as_root() { "$@" 2>/dev/null || sudo -n "$@" 2>/dev/null; }
names=(${nodes.map(({ name }) => name)})
logs=(${nodes.map(({ name }) => consoleLog(name))})
isos=(${nodes.map(({ name }) => seeds.get(name) ?? '/nonexistent')})
for at in "\${!names[@]}"; do
  echo "console \${names[at]} $(as_root tail -c ${consoleBytes} -- "\${logs[at]}" | base64 -w0)"
  iso=\${isos[at]}
  if as_root test -r "$iso"; then
    echo "iso \${names[at]} $(as_root dd if="$iso" bs=2048 skip=${descriptorSector} count=1 status=none | base64 -w0)"
  elif ! as_root test -e "$iso" && as_root test -x "\${iso%/*}"; then echo "iso \${names[at]} "; fi
done
true`
  return stdout
}

function readLook(text: string) {
  const open = new Set<string>()
  const consoles = new Map<string, string[]>()
  const labels = new Map<string, string | undefined>()
  const heard: { address: string; mac: string }[] = []
  const remembered: { address: string; mac: string }[] = []
  const shouted = new Set<string>()
  const silent = new Set<string>()
  const asked = new Set<string>()
  for (const { label: kind, value } of parseLabelledLines(text).lines) {
    const [first = '', second = ''] = value.split(' ')
    const bytes = (): Buffer => Buffer.from(second, 'base64')
    if (kind === 'open') open.add(`${first} ${second}`)
    if (kind === 'console') consoles.set(first, plainLines(bytes().toString()))
    if (kind === 'iso') labels.set(first, readLabel(bytes()))
    if (kind === 'shouted') shouted.add(first)
    if (kind === 'heard') heard.push({ address: first, mac: second.toLowerCase() })
    if (kind !== 'neigh') continue
    asked.add(first)
    if (/ FAILED| INCOMPLETE/.test(value)) silent.add(first)
    const mac = / lladdr (\S+)/.exec(value)?.[1]?.toLowerCase()
    // What is stale may have been a machine that is long gone.
    if (mac !== undefined && / (?:REACHABLE|PERMANENT)/.test(value))
      remembered.push({ address: first, mac })
  }
  const neighbours = [...heard, ...remembered.filter(({ address }) => !shouted.has(address))]
  const unique = (list: readonly string[]): string[] => [...new Set(list)]
  return {
    open,
    consoles,
    labels,
    asked,
    silent,
    macsOf: (wanted: string) =>
      unique(neighbours.filter(({ address }) => address === wanted).map(({ mac }) => mac)),
    addressesOf: (wanted: string) =>
      unique(neighbours.filter(({ mac }) => mac === wanted).map(({ address }) => address)),
  }
}
