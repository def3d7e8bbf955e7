/** Observes the machines on a host for diagnosis: state, console, neighbor tables, open ports. */
import {
  consoleLog,
  logFunctions,
  parseLabelledLines,
  parseLogs,
  plainLines,
  virshBatch,
  type Cluster,
  type Host,
  type Node,
  type ReadLog,
} from '@talosmith/core'
import { parseDomain, type ParsedDomain } from './parse-domain.ts'
import { descriptorSector, readLabel } from './seed-iso.ts'

/** What a host knows of one machine apart from its definition: its current state and recent console output. */
export interface MachineEvidence {
  /** libvirt's state and its reason: 'paused', 'I/O error'. */
  readonly state: string
  readonly stateReason: string
  /** Output of `virsh domblkerror`; empty: no errors. */
  readonly diskErrors: string
  /** The machine as it is running; undefined: it is not running. */
  readonly running: ParsedDomain['machine'] | undefined
  /** Whether the seed ISO, or its absence, could be read. */
  readonly isSeedKnown: boolean
  /** The volume label of the seed ISO; undefined: no such file, not an ISO, or not readable. */
  readonly seedLabel: string | undefined
  /** The last lines of its serial console; empty when it cannot be read. */
  readonly console: readonly string[]
  /** Why its console cannot be read. */
  readonly consoleProblem?: string | undefined
  /** For how long its console has printed nothing, in seconds; undefined: not known. */
  readonly consoleQuietS?: number | undefined
  /** MAC addresses that answer ARP for the machine's address. */
  readonly answering: readonly string[]
  /** Other addresses for which the machine's own MAC address answers. */
  readonly elsewhere: readonly string[]
  /** Whether the host can connect to the machine's Talos API. */
  readonly opens: boolean
  /** Whether the host can connect to the machine's Kubernetes API server. */
  readonly opensApi: boolean
}

/** What a host knows of its machines and their network. */
export interface HostEvidence {
  readonly host: string
  /** By machine name. */
  readonly machines: ReadonlyMap<string, MachineEvidence>
  /** Whether the gateway answers ARP; undefined: it is not in the host's network. */
  readonly gatewayAnswers: boolean | undefined
  /** MAC addresses that answer ARP for CLUSTER_VIP. */
  readonly vipAnswering: readonly string[]
}

const ports = { talos: 50_000, kubernetes: 6443 }
/** Enough for several boots; a machine writes about 30 KiB per boot. */
const consoleBytes = 120_000

/** Observes the machines of `nodes` on a host with one virsh process and one command. */
export async function observeHostEvidence(
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
    probeHost(host, nodes, seeds, settings.NETWORK_GATEWAY, vip),
  ])
  const probes = parseProbes(host.name, text)
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
        isSeedKnown: probes.labels.has(node.name),
        seedLabel: probes.labels.get(node.name),
        ...consoleIn(probes.logs.get(node.name)),
        answering: probes.macsOf(node.address),
        elsewhere: probes
          .addressesOf(node.mac)
          .filter((address) => address !== node.address && address !== vip),
        opens: probes.open.has(`${node.address} ${ports.talos}`),
        opensApi: probes.open.has(`${node.address} ${ports.kubernetes}`),
      },
    ]
  })
  const { NETWORK_GATEWAY: gateway } = settings
  return {
    host: host.name,
    machines: new Map(machines),
    gatewayAnswers: probes.neighbors.has(gateway) ? !probes.silent.has(gateway) : undefined,
    vipAnswering: vip === undefined ? [] : probes.macsOf(vip),
  }
}

function consoleIn(
  log: ReadLog | undefined,
): Pick<MachineEvidence, 'console' | 'consoleProblem' | 'consoleQuietS'> {
  if (log === undefined) return { console: [] }
  if ('reason' in log) return { console: [], consoleProblem: log.reason }
  return { console: plainLines(log.text), consoleQuietS: log.quietS }
}

function machineIn(xml = ''): ParsedDomain['machine'] | undefined {
  return xml === '' ? undefined : parseDomain(xml).machine
}

/**
 * Probes every address. The replies to arping, where it is available and permitted, take precedence over the
 * neighbor table: that is filled by connecting, keeps a removed machine for a minute, and has only one of two
 * machines with the same address.
 */
async function probeHost(
  host: Host,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  gateway: string,
  vip: string | undefined,
): Promise<string> {
  const { stdout } = await host.$({ timeoutMs: 20_000, nothrow: true, ...logFunctions })`
eval "$LOGS"
try_port() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "open $1 $2"; }
if command -v arping >/dev/null; then arping=arping; else arping='busybox arping'; fi
arp_probe() {
  link=$(ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  output=$($arping -c 2 -w 2 -I "$link" "$1" 2>/dev/null) || true
  case $output in *Received*) echo "probed $1" ;; esac
  sed -n "s/.*\\[\\(..:..:..:..:..:..\\)\\].*/replied $1 \\1/p" <<<"$output"
}
for address in ${nodes.map(({ address }) => address)}; do try_port "$address" ${ports.talos} & try_port "$address" ${ports.kubernetes} & arp_probe "$address" & done
for vip in ${vip === undefined ? [] : [vip]}; do try_port "$vip" ${ports.kubernetes} >/dev/null & arp_probe "$vip" & done
try_port ${gateway} 9 >/dev/null &
wait
macs=(${nodes.flatMap(({ mac }) => ['-e', mac])})
for address in $(ip -o -4 neigh show | grep -iF "\${macs[@]}" | cut -d ' ' -f 1); do
  case " "${nodes.map(({ address }) => address).join(' ')}" " in *" $address "*) ;; *) arp_probe "$address" & ;; esac
done
wait
ip -o -4 neigh show | sed 's/^/neigh /'
as_root() { "$@" 2>/dev/null || sudo -n "$@" 2>/dev/null; }
names=(${nodes.map(({ name }) => name)})
logs=(${nodes.map(({ name }) => consoleLog(name))})
isos=(${nodes.map(({ name }) => seeds.get(name) ?? '/nonexistent')})
for at in "\${!names[@]}"; do
  read_log "\${names[at]}" "\${logs[at]}" ${consoleBytes}
  iso=\${isos[at]}
  if as_root test -r "$iso"; then
    echo "iso \${names[at]} $(as_root dd if="$iso" bs=2048 skip=${descriptorSector} count=1 status=none | base64 -w0)"
  elif ! as_root test -e "$iso" && as_root test -x "\${iso%/*}"; then echo "iso \${names[at]} "; fi
done
true`
  return stdout
}

function parseProbes(host: string, text: string) {
  const output = parseLabelledLines(text)
  const open = new Set<string>()
  const labels = new Map<string, string | undefined>()
  const replies: { address: string; mac: string }[] = []
  const cached: { address: string; mac: string }[] = []
  const probed = new Set<string>()
  const silent = new Set<string>()
  const neighbors = new Set<string>()
  for (const { label: kind, value } of output.lines) {
    const [first = '', second = ''] = value.split(' ')
    const bytes = (): Buffer => Buffer.from(second, 'base64')
    if (kind === 'open') open.add(`${first} ${second}`)
    if (kind === 'iso') labels.set(first, readLabel(bytes()))
    if (kind === 'probed') probed.add(first)
    if (kind === 'replied') replies.push({ address: first, mac: second.toLowerCase() })
    if (kind !== 'neigh') continue
    neighbors.add(first)
    if (/ FAILED| INCOMPLETE/.test(value)) silent.add(first)
    const mac = / lladdr (\S+)/.exec(value)?.[1]?.toLowerCase()
    // A stale entry may be of a machine that no longer exists.
    if (mac !== undefined && / (?:REACHABLE|PERMANENT)/.test(value))
      cached.push({ address: first, mac })
  }
  const answers = [...replies, ...cached.filter(({ address }) => !probed.has(address))]
  const unique = (list: readonly string[]): string[] => [...new Set(list)]
  return {
    open,
    logs: parseLogs(host, output),
    labels,
    neighbors,
    silent,
    macsOf: (wanted: string) =>
      unique(answers.filter(({ address }) => address === wanted).map(({ mac }) => mac)),
    addressesOf: (wanted: string) =>
      unique(answers.filter(({ mac }) => mac === wanted).map(({ address }) => address)),
  }
}
