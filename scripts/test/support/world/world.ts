/** The world in which the chains run: a KVM host, its Talos machines, their Kubernetes, and what must never happen to them. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Simulation, type Machine } from '@talosmith/bootstrap/testing'
import type { Reply } from '@talosmith/clients/testing'
import type { Cluster, Host } from '@talosmith/core'
import { caOf, kubeconfigOf, knowSecrets, readConfig, talosCaOf } from './authorities.ts'
import { pool, simulatedHost, type HostState } from './host.ts'
import { runOffline } from './offline.ts'
import { Listeners } from './listeners.ts'
import { alive, beforeChange, currentRun } from './runs.ts'

/** What a machine keeps on its disk, besides its Talos. */
interface DiskData {
  config: string | undefined
  /** The data of etcd: the UID of kube-system, which tells clusters apart. */
  etcd: string | undefined
}

/** All of the world that a run can change, apart from the files in `generated/`. */
interface State extends HostState {
  readonly data: Map<string, DiskData>
  /** How the data of etcd with this UID was lost: by which command, and whether that was confirmed. */
  readonly lost: Map<string, { readonly by: string; readonly confirmed: boolean }>
  readonly machines: Omit<Machine, 'node'>[]
  secretsMade: number
  clustersMade: number
  revision: number
  leader: string
  schematics: string[]
}

export class World extends Simulation {
  private state: State
  /** What happened that must never happen. */
  readonly harm: string[] = []
  /** The settings of the command that runs. */
  desired: Cluster
  readonly host: Host
  readonly talosctlPath: string
  readonly listeners: Listeners

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
    }
    for (const machine of this.machines) machine.config = ''
    this.listeners = new Listeners(this)
    const events = {
      diskRemoved: (path: string) => this.diskRemoved(path),
      started: (name: string) => this.started(name),
      changed: () => this.settle(),
    }
    this.host = simulatedHost(
      () => this.state,
      events,
      () => this.desired,
    )
  }

  /** A copy of everything. */
  save(): State {
    const machines = this.machines.map(({ node: _, ...rest }) => rest)
    const { revision, leader } = this
    return structuredClone({ ...this.state, machines, revision, leader })
  }

  async load(saved: State): Promise<void> {
    const { machines, ...state } = structuredClone(saved)
    this.state = { ...state, machines: [] }
    machines.forEach((machine, index) => Object.assign(this.machines[index] ?? {}, machine))
    this.revision = state.revision
    this.leader = state.leader
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

  /** Whether Talos runs on a machine: it has power and a disk. */
  isUp({ node }: Machine): boolean {
    const domain = this.state.domains.get(node.name)
    return domain?.isRunning === true && this.state.files.has(diskOf(node.name))
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

  private dataOf(name: string): DiskData {
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
    Object.assign(machine, fresh, { cordoned: false, annotation: undefined, resourceVersion: 1 })
  }

  /** What `talosctl <args>` does; called as the process of a run. */
  async runTalosctl(args: readonly string[]): Promise<string | object> {
    if (args[0] === 'version' && args.includes('--client'))
      return `Talos ${this.cluster.settings.TALOS_VERSION}\n`
    const words = [...args]
    const take = (flag: string): string | undefined => {
      const at = words.indexOf(flag)
      return at < 0 ? undefined : words.splice(at, 2)[1]
    }
    const talosconfig = take('--talosconfig')
    take('--endpoints')
    const nodes = take('--nodes')?.split(',')
    if (nodes === undefined) return this.offline(words)
    const isInsecure = words.at(-1) === '--insecure'
    if (isInsecure) words.pop()
    const machines = nodes.map((address) => this.at(address))
    const refusal = isInsecure
      ? machines.map((machine) => this.refuseInsecure(machine))
      : machines.map((machine) => this.refuseStranger(machine, talosconfig ?? ''))
    const refused = refusal.find((reason) => reason !== undefined)
    if (refused !== undefined && machines.length === 1) return failure(refused)
    const there = nodes.filter((_, index) => refusal[index] === undefined)
    const [machine] = machines
    const text = words.join(' ')
    const effect = machine && this.effectOf(machine, text)
    const problem = machine && effect && this.refuse(machine, text)
    if (problem !== undefined) return failure(problem)
    if (machine !== undefined && effect !== undefined) {
      await beforeChange(
        `talosctl ${words.slice(0, 2).join(' ').split(' --')[0]} @${machine.node.name}`,
      )
      // As it answers before it changes; asked again, it may be away.
      const answer = this.reply(text, there)
      effect()
      await this.settle()
      return typeof answer === 'string' ? answer : failure(answer.stderr)
    }
    const answer = this.reply(text, there)
    const stderr = [typeof answer === 'string' ? '' : answer.stderr, refused ?? '']
      .filter(Boolean)
      .join('\n')
    const stdout = typeof answer === 'string' ? answer : (answer.stdout ?? '')
    return stderr === '' ? stdout : { stdout, stderr: `error: ${stderr}`, exitCode: 1 }
  }

  /** What kubectl says with a kubeconfig of another CA: crypto/tls, verifying the server's certificate. */
  runKubectl(args: readonly string[]): string | object {
    if (args[0] === 'version') return `{"gitVersion":"${this.desired.settings.KUBERNETES_VERSION}"}`
    const text = readFileSync(args[args.indexOf('--kubeconfig') + 1] ?? '', 'utf8')
    const config = this.controlPlanes
      .map((one) => this.configOf(one))
      .find((one) => one !== undefined)
    if (config !== undefined && text.includes(encode(readConfig(config).kubernetesCa))) return '{}'
    return failure(
      'tls: failed to verify certificate: x509: certificate signed by unknown authority',
    )
  }

  private offline(words: readonly string[]): string {
    const isSecrets = words[0] === 'gen' && words[1] === 'secrets'
    const stdout = runOffline(
      this.talosctlPath,
      words,
      isSecrets ? `secrets ${this.state.secretsMade++}` : '',
    )
    if (isSecrets)
      knowSecrets(readFileSync(words[words.indexOf('--output-file') + 1] ?? '', 'utf8'))
    return stdout
  }

  /** internal/app/apid, and the maintenance service of Talos 1.13: with a config it wants a client certificate. */
  private refuseInsecure(machine: Machine): string | undefined {
    if (!this.isUp(machine)) return 'rpc error: code = Unavailable desc = connection refused'
    return this.configOf(machine) === undefined
      ? undefined
      : 'rpc error: code = Unavailable desc = remote error: tls: certificate required'
  }

  private refuseStranger(machine: Machine, talosconfig: string): string | undefined {
    const config = this.configOf(machine)
    if (config === undefined) return 'rpc error: code = Unavailable desc = connection refused'
    // pkg/machinery/client/config/config.go, Open and ensure: a missing file is created, without a context.
    if (!existsSync(talosconfig)) writeFileSync(talosconfig, 'context: ""\ncontexts: {}\n')
    const ca = talosCaOf(readFileSync(talosconfig, 'utf8'))
    if (ca === '') return 'failed to resolve configuration context: talos config file is empty'
    if (ca === readConfig(config).talosCa) return undefined
    return 'rpc error: code = Unavailable desc = tls: failed to verify certificate: x509: certificate signed by unknown authority'
  }

  /** Why a machine refuses a change. */
  private refuse(machine: Machine, words: string): string | undefined {
    // internal/app/machined/internal/server/v1alpha1/v1alpha1_server.go, Server.Bootstrap: AlreadyExists.
    if (words.startsWith('bootstrap') && this.etcdOf(machine) !== undefined)
      return 'rpc error: code = AlreadyExists desc = etcd data directory is not empty'
    return undefined
  }

  protected override effectOf(machine: Machine, words: string): (() => void) | undefined {
    const data = this.dataOf(machine.node.name)
    const snapshot = /^etcd snapshot (\S+)/.exec(words)?.[1]
    if (snapshot !== undefined)
      return () => writeFileSync(snapshot, snapshotOf(data.etcd ?? '', this.revision))
    const from = /^bootstrap --recover-from=(\S+)/.exec(words)?.[1]
    if (from !== undefined)
      return () => {
        const { uid, revision } = readSnapshot(from)
        this.refuseBeside(machine, uid)
        data.etcd = uid
        this.revision = revision + 1
      }
    if (words.startsWith('bootstrap'))
      return () => {
        this.refuseEmpty(machine)
        data.etcd = `uid-${++this.state.clustersMade}`
        this.revision = 80
      }
    const kubeconfig = /^kubeconfig (\S+)/.exec(words)?.[1]
    if (kubeconfig !== undefined) return undefined
    const first = /^apply-config --file=(\S+)/.exec(words)?.[1]
    if (words.includes('--dry-run')) return undefined
    if (first !== undefined) {
      const text = readFileSync(first, 'utf8')
      return () => this.configure(machine, text)
    }
    const effect = super.effectOf(machine, words)
    if (effect === undefined) return undefined
    const before = machine.config
    const versions = this.machines.map(({ kubernetes }) => kubernetes)
    return () => {
      effect()
      if (machine.config !== before) this.configure(machine, machine.config)
      // pkg/cluster/kubernetes/upgrade.go, Upgrade: it patches the images in every machine's config.
      if (words.startsWith('upgrade-k8s'))
        this.machines.forEach((one, index) => {
          const config = one.config.replaceAll(`:${versions[index]}`, `:${one.kubernetes}`)
          this.configure(one, config)
        })
    }
  }

  private configure(machine: Machine, text: string): void {
    const data = this.dataOf(machine.node.name)
    data.config = text
    machine.config = text
    machine.kubernetes = readConfig(text).kubernetes
  }

  /** An empty etcd must not take the place of data: beside it, or after a command that was to keep it. */
  private refuseEmpty(machine: Machine): void {
    this.refuseBeside(machine, undefined)
    for (const [uid, { by, confirmed }] of this.state.lost)
      if (!confirmed || by === 'restore') this.harm.push(`an empty cluster in the place of ${uid}`)
  }

  private refuseBeside({ node }: Machine, uid: string | undefined): void {
    for (const [name, { etcd }] of this.state.data)
      if (etcd !== undefined && etcd !== uid)
        this.harm.push(`${node.name} bootstraps etcd while ${name} has data`)
  }

  protected override reply(words: string, nodes: readonly string[]): Reply {
    const [machine] = nodes.map((address) => this.at(address))
    const kubeconfig = /^kubeconfig (\S+)/.exec(words)?.[1]
    if (kubeconfig !== undefined && machine !== undefined) {
      const config = this.configOf(machine) ?? ''
      writeFileSync(
        kubeconfig,
        kubeconfigOf(this.desired.endpoint, readConfig(config).kubernetesCa),
      )
      return ''
    }
    if (words.startsWith('apply-config') && words.includes('--dry-run') && machine !== undefined) {
      const text = readFileSync(/--file=(\S+)/.exec(words)?.[1] ?? '', 'utf8')
      return text === machine.config ? 'No changes.' : super.reply(words, nodes)
    }
    // Talos decides by this folder: constants.EtcdDataPath, Server.Bootstrap.
    if (words === 'list /var/lib/etcd' && machine !== undefined)
      return this.etcdOf(machine) === undefined
        ? { stderr: 'rpc error: code = Unknown desc = no such file or directory' }
        : `${machine.node.address}   member\n`
    if (words.startsWith('etcd snapshot'))
      return `snapshot info: hash 1, revision ${this.revision}, total keys 5`
    if (words.startsWith('apply-config') || words.startsWith('bootstrap')) return ''
    return super.reply(words, nodes)
  }

  /** A request to the Kubernetes API of a control plane; its status and body. */
  async askKubernetes(
    server: string,
    method: string,
    url: string,
    body: object,
  ): Promise<{ status: number; text: string }> {
    const run = currentRun()
    if (run === undefined) await alive({ isDead: true } as never)
    const path = url.split('?')[0] ?? ''
    if (method !== 'GET') await beforeChange(`${method} ${path}`, run)
    const own = url.includes('labelSelector') ? list([]) : this.extra(path)
    if (own !== undefined && method === 'GET') return { status: 200, text: own }
    if (/^\/apis\/(?:storage|apps)/.test(path))
      return { status: 404, text: '{"message":"not found"}' }
    try {
      const api = this.kubernetes(() => alive(run))
      const text = await api.ask({ method, path: url, body } as never, { server })
      return { status: 200, text }
    } catch (error) {
      const status = (error as { status?: number }).status ?? 503
      return { status, text: JSON.stringify({ message: String(error) }) }
    }
  }

  /** What the Simulation does not answer, because its tests do not ask it. */
  private extra(path: string): string | undefined {
    if (path === '/readyz') return 'ok'
    if (path === '/api/v1/namespaces/kube-system')
      return JSON.stringify({ metadata: { uid: this.uid } })
    const registered = this.machines.filter((one) => this.configOf(one) !== undefined)
    const count = registered.length
    if (path === '/apis/apps/v1/namespaces/kube-system/deployments')
      return list([
        {
          metadata: { name: 'coredns', generation: 1 },
          spec: { replicas: 2 },
          status: { observedGeneration: 1, updatedReplicas: 2, availableReplicas: 2 },
        },
      ])
    if (path === '/apis/apps/v1/namespaces/kube-system/daemonsets')
      return list(
        ['kube-flannel', 'kube-proxy'].map((name) => ({
          metadata: { name, generation: 1 },
          status: {
            observedGeneration: 1,
            desiredNumberScheduled: count,
            updatedNumberScheduled: count,
            numberAvailable: count,
          },
        })),
      )
    return /\/(?:secrets|persistentvolumes|persistentvolumeclaims)$/.test(path)
      ? list([])
      : undefined
  }

  /** The certificate authority of a machine's Talos API. */
  authorityOf(machine: Machine) {
    const config = this.configOf(machine)
    return config === undefined
      ? undefined
      : { config: readConfig(config), talos: caOf(readConfig(config).talosCa) }
  }
}

/** The disk of a machine. */
export function diskOf(name: string): string {
  return `${pool}/${name}.qcow2`
}

function list(items: readonly object[]): string {
  return JSON.stringify({ items })
}

function failure(stderr: string): object {
  return { exitCode: 1, stderr: `error: ${stderr}` }
}

function encode(pem: string): string {
  return Buffer.from(pem).toString('base64')
}

/** Bytes as etcd writes them: pages, here with the cluster's UID, and their sha256. */
function snapshotOf(uid: string, revision: number): Buffer {
  const data = Buffer.alloc(1024, ' ')
  data.write(JSON.stringify({ uid, revision }))
  return Buffer.concat([data, createHash('sha256').update(data).digest()])
}

function readSnapshot(path: string): { uid: string; revision: number } {
  return JSON.parse(readFileSync(path).subarray(0, 1024).toString()) as {
    uid: string
    revision: number
  }
}
