import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { silentLog, type Cluster, type Node } from '@talosmith/core'
import { logLines, recordingHost } from '@talosmith/core/testing'
import semver from 'semver'
import { parse, stringify } from 'yaml'
import {
  ApiRefusal,
  selects,
  type Kubernetes,
  type BudgetObject,
  type PodObject,
  kubernetesOver,
  throughNodes,
} from '@talosmith/clients/kubernetes'
import type { Talosctl } from '@talosmith/clients/talos'
import type { UpgradeContext } from '../../src/restart/context.ts'
import { failedAnnotation, upgradeAnnotation } from '../../src/restart/upgrade-annotation.ts'
import { fakeTalosctl, resource, versions, type Reply } from '@talosmith/clients/testing'

/** The state of a simulated machine. */
export interface Machine {
  readonly node: Node
  version: string
  schematic: string
  kubernetes: string
  installed: string | undefined
  boot: number
  /** How many further calls it does not answer. */
  away: number
  cordoned: boolean
  annotation: string | undefined
  /** Counts the changes of its node in Kubernetes. */
  resourceVersion: number
  config: string
  etcdError: string | undefined
  /** Whether it was created with GRUB, which it keeps. */
  grub: boolean
  /** The arguments of its kernel that are not Talos' own. */
  kernelArguments: readonly string[]
  /** The version that it rolls back to, after so many further checks of its status. */
  trial: { readonly version: string; left: number } | undefined
  /** What its other boot entry has. */
  other: Running | undefined
  /** Whether the other entry is the default one. */
  bootsOther: boolean
  /** It does not answer: its version hangs, or it stands in the boot menu, at an entry. */
  stands: 'hangs' | number | undefined
  /** What its console has shown. */
  console: string
  /** The annotation with a version that failed. */
  failed: string | undefined
}

/** What a boot entry has. */
interface Running {
  readonly version: string
  readonly schematic: string
}

/** When a run is killed. */
export interface Kill {
  /** At so many changes from now, or at the change that matches. */
  readonly at: number | RegExp
  /** Before it takes effect, after, or so many calls later. */
  readonly when: 'before' | 'after' | number
  readonly died: () => void
}

/** The parts of a machine config that an upgrade uses. */
export function configText(cluster: Cluster, installer: string): string {
  return stringify({ machine: { install: { image: installer }, features: { x: cluster.name } } })
}

/** A simulation of Talos and Kubernetes that records every requested change. */
export class Simulation {
  readonly machines: Machine[]
  readonly changes: string[] = []
  /** Names of the machines that started through firmware and boot menu, in order. */
  readonly coldStarts: string[] = []
  /** Violations of the safe order of restarts. */
  readonly violations: string[] = []
  readonly pods: PodObject[] = []
  readonly budgets: BudgetObject[] = []
  /** Names of budgets whose operator makes room once a node is cordoned. */
  readonly lifted = new Set<string>()
  leader: string
  /** The error with which machines refuse to install a version; all, or the named ones. */
  refusal: string | undefined
  readonly refusing = new Set<string>()
  /** Versions that do not boot. */
  readonly broken = new Set<string>()
  /** Machines with a version that hangs on them in its initialize sequence: `home-w1 v1.13.9`. */
  readonly hanging = new Set<string>()
  /** How often a machine is checked before it rolls back. */
  trialLooks = 3
  readonly cluster: Cluster
  /** Ends the run as SIGKILL would. */
  kill: Kill | undefined
  /** Called with every change, before it takes effect. */
  onChange: ((change: string) => void) | undefined
  /** Whether etcd runs on the control planes or has data there. */
  etcd: 'running' | 'stopped' | 'none' = 'running'
  /** etcd's revision. */
  revision = 80
  /** The reply of API servers at /metrics. */
  metrics = ''
  /** The error of `talosctl upgrade-k8s`; undefined: it succeeds. */
  kubernetesRefusal: string | undefined
  /** Whether a changed machine config needs a reboot. */
  configReboots = false
  /** Whether components keep their version nevertheless. */
  kubernetesStays = false
  /** The endpoint through which Kubernetes was upgraded. */
  endpoint: string | undefined
  /** Whether machines have a guest agent channel. */
  hasChannel: boolean | undefined = true
  private generation = 0
  private changesUntilKill = 0
  private doomedIn: number | undefined

  constructor(cluster: Cluster, version: string, schematic = cluster.schematic.id) {
    this.cluster = cluster
    this.leader = cluster.controlPlanes[0]?.name ?? ''
    this.machines = cluster.nodes.map((node) => ({
      node,
      version,
      schematic,
      kubernetes: cluster.settings.KUBERNETES_VERSION,
      installed: undefined,
      boot: 1,
      away: 0,
      cordoned: false,
      annotation: undefined,
      resourceVersion: 1,
      config: configText(cluster, `old/${schematic}:${version}`),
      etcdError: undefined,
      grub: false,
      kernelArguments: cluster.settings.TALOS_KERNEL_ARGS,
      trial: undefined,
      ...{ other: undefined, bootsOther: false, stands: undefined, console: '', failed: undefined },
    }))
  }

  at(address: string): Machine {
    const machine = this.machines.find(({ node }) => node.address === address)
    if (machine === undefined) throw new Error(`no machine has ${address}`)
    return machine
  }

  named(name: string): Machine {
    return this.at(this.cluster.nodes.find((node) => node.name === name)?.address ?? '')
  }

  /** The context of a run; a later one disconnects an earlier one, as if its process had ended. */
  context(secrets: { talosCa: string }): UpgradeContext {
    const own = ++this.generation
    const alive = async (): Promise<void> => {
      if (this.doomedIn !== undefined && --this.doomedIn < 0) await this.die()
      if (own !== this.generation) await new Promise(() => undefined)
    }
    const desired = new Map(
      this.cluster.nodes.map(({ name }) => [
        name,
        configText(this.cluster, this.cluster.image.installer),
      ]),
    )
    return {
      cluster: this.cluster,
      log: silentLog,
      talosctl: this.talosctl(alive),
      kubernetes: throughNodes(this.cluster, this.kubernetes(alive)),
      secrets: { ...secrets, kubernetesCa: '', digest: 'd' },
      generated: {
        secrets: { ...secrets, kubernetesCa: '', digest: 'd' },
        desired,
        digest: '',
        stale: [],
        talosconfig: undefined,
      },
      hosts: async () => [
        recordingHost({
          '/console.log/': this.cluster.nodes
            .map(({ name }) =>
              logLines(name, 'booting\r\n\x1b[31mkernel panic\x1b[0m - not syncing\r\n'),
            )
            .join(''),
        }),
      ],
    }
  }

  private async change(
    text: string,
    effect: () => void,
    alive: () => Promise<void>,
  ): Promise<void> {
    await alive()
    this.onChange?.(text)
    const { at, when } = this.kill ?? {}
    const isLast = typeof at === 'number' ? this.changesUntilKill++ === at : at?.test(text) === true
    if (isLast && when === 'before') await this.die()
    this.changes.push(text)
    effect()
    if (isLast && when === 'after') await this.die()
    if (isLast && typeof when === 'number') this.doomedIn = when
  }

  private async die(): Promise<void> {
    this.generation++
    const { died } = this.kill ?? {}
    this.kill = undefined
    this.doomedIn = undefined
    died?.()
    await new Promise(() => undefined)
  }

  private restart(machine: Machine): void {
    const { node } = machine
    for (const other of this.machines)
      if (other !== machine && other.node.role === 'controlplane' && other.away > 0)
        this.violations.push(`${node.name} restarts while ${other.node.name} is away`)
    if (!machine.cordoned) this.violations.push(`${node.name} restarts without being drained`)
    const wanted = machine.installed ?? machine.version
    if (machine.installed !== undefined) {
      machine.other = { version: machine.version, schematic: machine.schematic }
      machine.bootsOther = false
    }
    machine.boot++
    machine.away = 6
    machine.installed = undefined
    if (this.broken.has(wanted)) machine.trial = { version: machine.version, left: this.trialLooks }
    machine.version = wanted
    machine.schematic = this.cluster.schematic.id
    this.boot(machine, machine.bootsOther)
    if (this.leader === node.name) this.moveLeader(node.name)
  }

  /** Boots one of the two entries of a machine; it hangs if that version does. */
  private boot(machine: Machine, boots: boolean): void {
    const { other, version, schematic } = machine
    if (boots && other !== undefined) {
      Object.assign(machine, { ...other, other: { version, schematic } })
      machine.bootsOther = !machine.bootsOther
    }
    machine.stands = this.hanging.has(`${machine.node.name} ${machine.version}`)
      ? 'hangs'
      : undefined
    const ending =
      machine.stands === undefined ? 'boot sequence: done' : 'initialize sequence: failed'
    machine.console += `[    0.000000] Linux version 6.18\r\n[    3.1] [talos] ${ending}\r\n`
  }

  /** Titles of the boot menu, newest version first; the default entry is highlighted at its start. */
  private menuOf({ version, other, bootsOther }: Machine): { titles: string[]; first: number } {
    const versions = [version, ...(other === undefined ? [] : [other.version])]
    const normal = versions[bootsOther ? 1 : 0] ?? version
    versions.sort(semver.rcompare)
    const titles = versions.flatMap((one) => [
      `Talos (${one})`,
      `Talos (${one}) (Reset to maintenance mode)`,
    ])
    return { titles, first: titles.indexOf(`Talos (${normal})`) }
  }

  /** `virsh reset`: the firmware, then the boot menu, as menu_run of systemd-boot draws it. */
  resetMachine(machine: Machine): void {
    const { titles, first } = this.menuOf(machine)
    machine.boot++
    machine.stands = first
    const lines = titles.map((title, index) => menuLine(title, index, index === first))
    machine.console += `\x1b[2J${lines.join('')}\x1b[9;1HBoot in 5 s.`
  }

  /** `virsh send-key` in the boot menu. */
  pressKey(machine: Machine, key: string): void {
    const { titles } = this.menuOf(machine)
    const { stands, node } = machine
    if (typeof stands !== 'number') {
      this.violations.push(`${node.name} gets ${key} outside of its boot menu`)
      return
    }
    const title = titles[stands] ?? ''
    if (key === 'KEY_ENTER') {
      if (title.includes('Reset')) this.violations.push(`${node.name} loses its data`)
      machine.stands = undefined
      this.boot(machine, title !== `Talos (${machine.version})`)
      return
    }
    const next = stands + (key === 'KEY_DOWN' ? 1 : -1)
    machine.stands = next
    machine.console += menuLine(title, stands, false) + menuLine(titles[next] ?? '', next, true)
  }

  private moveLeader(from: string): void {
    const next = this.machines.find(
      ({ node, away }) => node.role === 'controlplane' && node.name !== from && away === 0,
    )
    if (next !== undefined) this.leader = next.node.name
  }

  private talosctl(alive: () => Promise<void>): Talosctl {
    const fake = fakeTalosctl((words, nodes) => this.reply(words, nodes))
    return {
      ...fake,
      ask: async (nodes, args, options) => {
        await alive()
        const [machine] = nodes.map((address) => this.at(address))
        const words = args.join(' ')
        const effect = machine && this.effectOf(machine, words)
        const answer = await fake.ask(nodes, args, options)
        if (machine !== undefined && effect !== undefined)
          await this.change(`${words.split(' --')[0]} ${machine.node.name}`, effect, alive)
        return answer
      },
    }
  }

  /** What a command changes on a machine; undefined: nothing. */
  protected effectOf(machine: Machine, words: string): (() => void) | undefined {
    if (/^(?:reboot|upgrade) .*mode=powercycle/.test(words)) this.coldStarts.push(machine.node.name)
    const image = /--image=\S+:(v\S+)/.exec(words)?.[1]
    if (words.startsWith('upgrade-k8s'))
      return () => {
        this.endpoint = /--endpoint=(\S+)/.exec(words)?.[1]
        if (this.kubernetesStays) return
        for (const one of this.machines) one.kubernetes = `v${/--to=(\S+)/.exec(words)?.[1]}`
      }
    if (words.startsWith('upgrade'))
      return () => {
        machine.installed = image
        machine.kernelArguments = argumentsAfter(machine, this.cluster)
        if (!words.includes('--no-reboot')) this.restart(machine)
      }
    if (words.startsWith('bootstrap --recover-from'))
      return () => {
        this.etcd = 'running'
      }
    if (words.startsWith('reboot')) return () => this.restart(machine)
    // sdboot.go, revert: the default becomes the entry that is not the default one.
    if (words === 'rollback')
      return () => {
        machine.bootsOther = !machine.bootsOther
        this.restart(machine)
      }
    if (words.includes('forfeit-leadership')) return () => this.moveLeader(machine.node.name)
    if (words.startsWith('etcd snapshot'))
      return () => writeFileSync(words.split(' ')[2] ?? '', backupBytes())
    const file = /apply-config --mode=auto --file=(\S+)/.exec(words)?.[1]
    if (file === undefined) return undefined
    const text = readFileSync(file, 'utf8')
    return () => {
      machine.config = text
      if (this.configReboots) this.restart(machine)
    }
  }

  protected reply(words: string, nodes: readonly string[]): Reply {
    const queried = nodes.map((address) => this.at(address))
    const there = queried.filter(({ away, stands }) => away === 0 && stands === undefined)
    for (const machine of queried) if (machine.away > 0) machine.away--
    const silence =
      queried.length === there.length ? '' : 'rpc error: code = Unavailable desc = refused'
    const all = (text: (machine: Machine) => string): Reply => {
      const stdout = there.map(text).join('')
      return silence === '' ? stdout : { stdout, stderr: silence }
    }
    const [first] = there
    if (first?.trial !== undefined) {
      if (first.trial.left <= 0) rollBack(first)
      else if (words.startsWith('get machinestatus')) first.trial.left--
    }
    if (words === 'version')
      return there.length === 0
        ? { stderr: silence }
        : versions(Object.fromEntries(there.map(({ node, version }) => [node.address, version])))
    const get = /^get (\w+)/.exec(words)?.[1]
    if (get === 'extensions')
      return all(({ node, schematic }) =>
        resource(node.address, { metadata: { name: 'schematic', version: schematic } }),
      )
    if (get === 'platformmetadata')
      return all(({ node }) => resource(node.address, { platform: 'nocloud' }))
    if (get === 'volumestatus')
      return all(({ node }) => resource(node.address, { phase: 'ready' }, 'STATE'))
    if (get === 'securitystate')
      return all(({ node, grub }) =>
        resource(node.address, { secureBoot: false, ...(!grub && { bootedWithUKI: true }) }),
      )
    if (get === 'machinestatus')
      return all(({ node, trial }) =>
        resource(node.address, {
          stage: trial === undefined ? 'running' : 'booting',
          status: { ready: true, unmetConditions: null },
        }),
      )
    if (get === 'service')
      return all(({ node }) => resource(node.address, { running: this.etcd === 'running' }))
    if (words === 'list /var/lib/etcd')
      return this.etcd === 'none'
        ? { stderr: 'rpc error: code = Unknown desc = no such file or directory' }
        : all(({ node }) => `${node.address}   member\n`)
    if (get === 'machineconfig') return all(({ node, config }) => resource(node.address, config))
    if (first === undefined) return { stderr: silence }
    if (words === 'read /proc/cmdline')
      return `talos.platform=nocloud console=ttyS0 ${first.kernelArguments.join(' ')}\n`
    const variable = /^read \/sys\/firmware\/efi\/efivars\/(\w+)-/.exec(words)?.[1]
    if (variable !== undefined) {
      const isOther = variable === 'LoaderEntryDefault' && first.bootsOther
      const { version = '' } = isOther ? (first.other ?? {}) : first
      return `\x07\0\0\0${Buffer.from(`Talos-${version}.efi\0`, 'utf16le').toString('latin1')}`
    }
    if (words.startsWith('read')) return `boot-${first.node.name}-${first.boot}\n`
    if (words === 'etcd alarm list') return ''
    if (words === 'service etcd')
      return `STATE    ${this.etcd === 'running' ? 'Running' : 'Preparing'}\n`
    if (words.startsWith('upgrade-k8s') && this.kubernetesRefusal !== undefined)
      return { stderr: this.kubernetesRefusal }
    if (words === 'list /dev/virtio-ports') {
      if (this.hasChannel === undefined) return { stderr: 'rpc error: code = Unavailable desc = x' }
      return this.hasChannel ? 'org.qemu.guest_agent.0\n' : ''
    }
    if (words === 'etcd members')
      return table(
        ['NODE', 'ID', 'HOSTNAME', 'LEARNER'],
        this.controlPlanes.map(({ node }) => [
          first.node.address,
          `id-${node.name}`,
          node.name,
          'false',
        ]),
      )
    if (words === 'etcd status') {
      const error = there.find(({ etcdError }) => etcdError !== undefined)?.etcdError
      const stdout = table(
        ['NODE', 'MEMBER', 'LEADER', 'RAFT INDEX', 'RAFT TERM', 'LEARNER', 'ERRORS'],
        there
          .filter(({ etcdError }) => etcdError === undefined)
          .map(({ node }) => [
            ...[node.address, `id-${node.name}`, `id-${this.leader}`, '100', '2', 'false', ''],
          ]),
      )
      if (error === undefined) return silence === '' ? stdout : { stdout, stderr: silence }
      return { stdout, stderr: `rpc error: code = Unknown desc = ${error}` }
    }
    const refuses = this.refusing.size === 0 || this.refusing.has(first.node.name)
    if (words.startsWith('upgrade ') && this.refusal !== undefined && refuses)
      return { stderr: this.refusal }
    if (words.startsWith('etcd snapshot')) return 'snapshot info: hash 1, revision 77, total keys 5'
    if (words.includes('--dry-run'))
      return `Applied configuration ${this.configReboots ? 'with' : 'without'} a reboot`
    return ''
  }

  protected get controlPlanes(): Machine[] {
    return this.machines.filter(({ node }) => node.role === 'controlplane')
  }

  protected kubernetes(alive: () => Promise<void>): Kubernetes {
    const reach = (server = ''): void => {
      const machine = this.at(new URL(server).hostname)
      if (machine.away === 0) return
      machine.away--
      throw new Error('connection refused')
    }
    return kubernetesOver(async ({ path, body, method }, { server } = {}) => {
      await alive()
      reach(server)
      if (method === 'POST') return this.evict(path, alive)
      if (method === 'PATCH') return this.patch(path, body as NodePatch, alive)
      return path === '/metrics' ? this.metrics : JSON.stringify(this.answer(path))
    })
  }

  private async patch(
    path: string,
    { metadata, spec }: NodePatch,
    alive: () => Promise<void>,
  ): Promise<string> {
    const machine = this.named(path.split('/').at(-1) ?? '')
    // The API accepts a change without one, and overwrites concurrent changes.
    if (metadata.resourceVersion === undefined)
      this.violations.push(`${machine.node.name} was changed without its resourceVersion`)
    else if (metadata.resourceVersion !== String(machine.resourceVersion))
      throw new ApiRefusal(409, 'the object has been modified')
    const isCordon = spec?.unschedulable === true
    const verb = spec === undefined ? 'mark' : isCordon ? 'cordon' : 'uncordon'
    await this.change(
      `${verb} ${machine.node.name}`,
      () => {
        machine.resourceVersion++
        if (spec !== undefined) machine.cordoned = isCordon
        machine.annotation = metadata.annotations[upgradeAnnotation] ?? undefined
        const failed = metadata.annotations[failedAnnotation]
        if (failed !== undefined) machine.failed = failed ?? undefined
      },
      alive,
    )
    return '{}'
  }

  private async evict(path: string, alive: () => Promise<void>): Promise<string> {
    const name = path.split('/').at(-2)
    const index = this.pods.findIndex(({ metadata }) => metadata.name === name)
    const pod = this.pods[index]
    if (pod === undefined) throw new ApiRefusal(404, 'not found')
    const isCordoned = this.named(pod.spec?.nodeName ?? '').cordoned
    const blocked = this.budgets.some(
      ({ metadata, spec, status }) =>
        selects(spec?.selector, pod.metadata.labels) &&
        status?.disruptionsAllowed === 0 &&
        !(isCordoned && this.lifted.has(metadata.name)),
    )
    if (blocked) throw new ApiRefusal(429, 'Cannot evict pod as it would violate the budget')
    await this.change(`evict ${name}`, () => this.pods.splice(index, 1), alive)
    return '{}'
  }

  protected answer(path: string): object {
    if (path === '/version') return { gitVersion: this.machines[0]?.kubernetes }
    if (path === '/api/v1/namespaces/kube-system') return { metadata: { uid: 'uid-1' } }
    if (path === '/api/v1/namespaces?limit=1')
      return { metadata: { resourceVersion: String(this.revision) } }
    const [, node] = /^\/api\/v1\/nodes\/(.+)$/.exec(path) ?? []
    if (node !== undefined) return nodeObject(this.named(node))
    if (path === '/api/v1/nodes') return { items: this.machines.map(nodeObject) }
    if (path.startsWith('/apis/policy')) return { items: this.budgets }
    if (path === '/api/v1/namespaces/kube-system/pods')
      return { items: this.controlPlanes.flatMap(staticPods) }
    const only = /spec.nodeName%3D(.*)$/.exec(path)?.[1]
    return { items: this.pods.filter(({ spec }) => only === undefined || spec?.nodeName === only) }
  }
}

/** The kernel arguments that an installer writes: with GRUB, those that the config of the running version lets through. */
function argumentsAfter(
  { grub, config, version }: Machine,
  { settings }: Cluster,
): readonly string[] {
  if (!grub) return settings.TALOS_KERNEL_ARGS
  const { extraKernelArgs = [], grubUseUKICmdline = false } = (
    parse(config) as {
      machine: { install: { extraKernelArgs?: string[]; grubUseUKICmdline?: boolean } }
    }
  ).machine.install
  if (grubUseUKICmdline && extraKernelArgs.length > 0) throw new Error('both are set')
  if (grubUseUKICmdline) return settings.TALOS_KERNEL_ARGS
  return semver.lt(version, '1.13.0') ? extraKernelArgs : []
}

/** A line of the boot menu, as EDK2's terminal driver writes it; the highlighted one is black on light gray. */
function menuLine(title: string, index: number, isOn: boolean): string {
  return `\x1b[0m\x1b[${isOn ? '30m\x1b[47m' : '37m\x1b[40m'}\x1b[${index + 1};26H  ${title}  `
}

/** What Talos does with a version that does not boot. */
export function rollBack(machine: Machine): void {
  machine.version = machine.trial?.version ?? machine.version
  machine.trial = undefined
  machine.boot++
}

interface NodePatch {
  readonly metadata: {
    readonly annotations: Readonly<Record<string, string | null>>
    readonly resourceVersion?: string
  }
  readonly spec?: { readonly unschedulable: boolean | null }
}

function nodeObject(machine: Machine): object {
  const { node, cordoned, annotation, failed, kubernetes } = machine
  const away = machine.away > 0 || machine.stands !== undefined
  return {
    metadata: {
      name: node.name,
      annotations: {
        ...(annotation !== undefined && { [upgradeAnnotation]: annotation }),
        ...(failed !== undefined && { [failedAnnotation]: failed }),
      },
      resourceVersion: String(machine.resourceVersion),
    },
    spec: cordoned ? { unschedulable: true } : {},
    status: {
      conditions: [{ type: 'Ready', status: away ? 'False' : 'True', message: 'away' }],
      addresses: [{ type: 'InternalIP', address: node.address }],
      nodeInfo: { kubeletVersion: kubernetes },
    },
  }
}

/** A kubelet whose own API server has no etcd cannot report its static pods. */
function staticPods({ node, kubernetes, etcdError }: Machine): object[] {
  if (etcdError !== undefined) return []
  return ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map((name) => ({
    metadata: { name: `${name}-${node.name}`, namespace: 'kube-system' },
    spec: { nodeName: node.name, containers: [{ image: `registry.k8s.io/${name}:${kubernetes}` }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  }))
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)),
  )
  return [titles, ...rows]
    .map((row) => row.map((cell, i) => cell.padEnd((widths[i] ?? 0) + 3)).join(''))
    .join('\n')
}

/** Bytes as etcd writes them: pages, and their sha256. */
export function backupBytes(pages = 2): Buffer {
  const data = Buffer.alloc(512 * pages, 7)
  return Buffer.concat([data, createHash('sha256').update(data).digest()])
}

/** The installer image in a machine's config. */
export function installerIn({ config }: Machine): string {
  return (parse(config) as { machine: { install: { image: string } } }).machine.install.image
}
