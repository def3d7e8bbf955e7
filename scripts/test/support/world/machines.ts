/** The machines of the simulated world, on their host: what they keep on their disks, and what must never happen to it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Simulation, type Machine } from '@talosmith/bootstrap/testing'
import type { Cluster, Host } from '@talosmith/core'
import { encode, readConfig, type ConfigFacts } from './authorities.ts'
import { pool, simulatedHost, type HostState } from './host.ts'
import { Listeners, type KubernetesAnswer } from './listeners.ts'
import { currentRun } from './runs.ts'

/** What a machine keeps on its disk, besides its Talos. */
interface DiskData {
  config: string | undefined
  /** The data of etcd: the UID of kube-system, which tells clusters apart. */
  etcd: string | undefined
}

/** All of the world that a run can change, apart from the files in `generated/`. */
export interface State extends HostState {
  readonly data: Map<string, DiskData>
  /** How the data of etcd with this UID was lost: by which command, and whether that was confirmed. */
  readonly lost: Map<string, { readonly by: string; readonly confirmed: boolean }>
  readonly machines: Omit<Machine, 'node'>[]
  secretsMade: number
  clustersMade: number
  revision: number
  leader: string
  schematics: string[]
  /** Machines with a version that hangs on them. */
  hanging: string[]
}

/** A host with the machines of a cluster. */
export abstract class Machines extends Simulation {
  protected state: State
  /** What happened that must never happen. */
  readonly harm: string[] = []
  /** The settings of the command that runs. */
  desired: Cluster
  readonly host: Host
  readonly talosctlPath: string
  readonly listeners: Listeners

  abstract askKubernetes(
    server: string,
    method: string,
    url: string,
    body: object,
  ): Promise<KubernetesAnswer>

  constructor(cluster: Cluster, talosctlPath: string) {
    super(cluster, cluster.settings.TALOS_VERSION)
    this.desired = cluster
    this.talosctlPath = talosctlPath
    this.state = {
      files: new Map(),
      domains: new Map(),
      data: new Map(),
      lost: new Map(),
      machines: [],
      secretsMade: 0,
      clustersMade: 0,
      revision: this.revision,
      leader: this.leader,
      schematics: [],
      hanging: [],
    }
    for (const machine of this.machines) machine.config = ''
    this.listeners = new Listeners(this)
    const events = {
      diskRemoved: (path: string) => this.diskRemoved(path),
      started: (name: string) => this.started(name),
      changed: () => this.settle(),
      reset: (name: string) => this.resetMachine(this.named(name)),
      key: (name: string, key: string) => this.pressKey(this.named(name), key),
      console: (name: string) => this.named(name).console,
      answers: (address: string) => this.isUp(this.at(address)),
    }
    this.host = simulatedHost(
      () => this.state,
      events,
      () => this.desired,
    )
  }

  /** A copy of everything. */
  save(): State {
    const machines = this.machines.map((machine) => omitNode(machine))
    const { revision, leader } = this
    const hanging = [...this.hanging]
    return structuredClone({ ...this.state, machines, revision, leader, hanging })
  }

  async load(saved: State): Promise<void> {
    const { machines, ...state } = structuredClone(saved)
    this.state = { ...state, machines: [] }
    machines.forEach((machine, index) => Object.assign(this.machines[index] ?? {}, machine))
    this.revision = state.revision
    this.leader = state.leader
    this.hanging.clear()
    for (const one of state.hanging) this.hanging.add(one)
    this.violations.length = 0
    this.harm.length = 0
    await this.settle()
  }

  get schematics(): string[] {
    return this.state.schematics
  }

  get domains(): HostState['domains'] {
    return this.state.domains
  }

  get files(): HostState['files'] {
    return this.state.files
  }

  /** Whether Talos runs on a machine: it has power and a disk, and has booted. */
  isUp({ node, stands }: Machine): boolean {
    const domain = this.state.domains.get(node.name)
    const isRunning = domain?.isRunning === true && this.state.files.has(diskOf(node.name))
    return isRunning && stands === undefined
  }

  /** The machine config in force; undefined: it waits in maintenance mode, or is off. */
  configOf(machine: Machine): string | undefined {
    return this.isUp(machine) ? this.state.data.get(machine.node.name)?.config : undefined
  }

  etcdOf({ node }: Machine): string | undefined {
    return this.state.data.get(node.name)?.etcd
  }

  /** The UID of the etcd that runs; undefined: none does. */
  get uid(): string | undefined {
    return this.controlPlanes
      .filter((machine) => this.configOf(machine) !== undefined)
      .map((machine) => this.etcdOf(machine))
      .find((etcd) => etcd !== undefined)
  }

  /** An accident: no command of ours removes a machine with its disk. */
  async loseMachine(name: string): Promise<void> {
    const etcd = this.state.data.get(name)?.etcd
    if (etcd !== undefined) this.state.lost.set(etcd, { by: 'an accident', confirmed: false })
    this.state.domains.delete(name)
    this.state.files.delete(diskOf(name))
    this.state.data.delete(name)
    await this.settle()
  }

  /** Brings what follows from a change: members that join, APIs that listen. */
  async settle(): Promise<void> {
    const { uid } = this
    const configured = this.controlPlanes.filter((one) => this.configOf(one) !== undefined)
    // Members join by themselves: internal/app/machined/pkg/system/services/etcd.go, Etcd.argsForControlPlane.
    if (uid !== undefined)
      for (const { node } of configured) {
        const data = this.dataOf(node.name)
        data.etcd ??= uid
        if (data.etcd !== uid) this.harm.push(`two clusters: ${uid} and ${data.etcd}`)
      }
    this.etcd = uid === undefined ? 'none' : 'running'
    await this.listeners.follow()
  }

  /** Checked after every change of a file: no key that machines need is gone. */
  checkFiles(): void {
    const folder = this.cluster.generated
    const texts = existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) =>
          /(?:secrets.*|\.secrets\.yaml)$/.test(name) && !name.startsWith('work/')
            ? [readFileSync(join(folder, name), 'utf8')]
            : [],
        )
      : []
    const configs = [...this.state.data.values()].flatMap(({ config }) => config ?? [])
    for (const config of configs) {
      const ca = encode(readConfig(config).talosCa)
      if (!texts.some((text) => text.includes(ca)))
        this.harm.push('the last copy of the secrets of machines that exist is gone')
    }
    const own = join(folder, 'secrets.yaml')
    if (!existsSync(own)) return
    const secrets = readFileSync(own, 'utf8')
    const others = configs.filter((config) => !secrets.includes(encode(readConfig(config).talosCa)))
    const command = currentRun()?.command ?? ''
    if (others.length > 0 && command !== 'regenerate-secrets')
      this.harm.push(`${command} has secrets.yaml of another CA than machines`)
  }

  protected dataOf(name: string): DiskData {
    const data = this.state.data.get(name) ?? { config: undefined, etcd: undefined }
    this.state.data.set(name, data)
    return data
  }

  private diskRemoved(path: string): void {
    const name = /([^/]+)\.qcow2$/.exec(path)?.[1] ?? ''
    const data = this.state.data.get(name)
    const { command = '', confirmed = false } = currentRun() ?? {}
    this.state.data.delete(name)
    if (data?.config === undefined) return
    if (!confirmed) this.harm.push(`${command} removed the disk of ${name} without CONFIRM`)
    const { etcd } = data
    const isLast = ![...this.state.data.values()].some((one) => one.etcd === etcd)
    if (etcd !== undefined && isLast) this.state.lost.set(etcd, { by: command, confirmed })
  }

  /** A new disk has the Talos of its image, in maintenance mode (the platform's config is empty: our seed has no user-data). */
  private started(name: string): void {
    const machine = this.named(name)
    machine.boot++
    machine.away = 0
    const file = this.state.files.get(diskOf(name))
    if (file?.kind !== 'disk') return
    if (this.state.data.has(name)) return
    this.dataOf(name)
    const version = /talos-(v[\d.]+)-/.exec(file.backing)?.[1] ?? ''
    const schematic = this.desired.schematic.id
    const fresh = { version, schematic, kubernetes: '', installed: undefined, config: '' }
    Object.assign(machine, fresh, {
      ...{ cordoned: false, annotation: undefined, resourceVersion: 1 },
      ...{ other: undefined, bootsOther: false, stands: undefined, console: '', failed: undefined },
    })
  }

  protected configure(machine: Machine, text: string): void {
    const data = this.dataOf(machine.node.name)
    data.config = text
    machine.config = text
    machine.kubernetes = readConfig(text).kubernetes
  }

  /** An empty etcd must not take the place of data: beside it, or after a command that was to keep it. */
  protected refuseEmpty(machine: Machine): void {
    this.refuseBeside(machine, undefined)
    for (const [uid, { by, confirmed }] of this.state.lost)
      if (!confirmed || by === 'restore') this.harm.push(`an empty cluster in the place of ${uid}`)
  }

  protected refuseBeside({ node }: Machine, uid: string | undefined): void {
    for (const [name, { etcd }] of this.state.data)
      if (etcd !== undefined && etcd !== uid)
        this.harm.push(`${node.name} bootstraps etcd while ${name} has data`)
  }

  /** The CAs of a machine's cluster. */
  authorityOf(machine: Machine): ConfigFacts | undefined {
    const config = this.configOf(machine)
    return config === undefined ? undefined : readConfig(config)
  }
}

/** The disk of a machine. */
export function diskOf(name: string): string {
  return `${pool}/${name}.qcow2`
}

function omitNode(machine: Machine): Omit<Machine, 'node'> {
  const { node, ...rest } = machine
  void node
  return rest
}
