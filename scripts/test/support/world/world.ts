/** The world in which the chains run: a KVM host, its Talos machines behind talosctl, and their Kubernetes. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Machine } from '@talosmith/bootstrap/testing'
import type { Reply } from '@talosmith/clients/testing'
import { encode, kubeconfigOf, knowSecrets, readConfig, talosCaOf } from './authorities.ts'
import { answerOfKubernetes } from './kubernetes.ts'
import type { KubernetesAnswer } from './listeners.ts'
import { Machines } from './machines.ts'
import { runOffline } from './offline.ts'
import { alive, beforeChange, currentRun } from './runs.ts'

/** The machines of a cluster, asked and changed through talosctl, kubectl and the Kubernetes API. */
export class World extends Machines {
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

  /** What kubectl prints with a kubeconfig of another CA: crypto/tls, verifying the server's certificate. */
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
    const target = /^etcd snapshot (\S+)/.exec(words)?.[1]
    if (target !== undefined)
      return () => writeFileSync(target, backupOf(data.etcd ?? '', this.revision))
    const from = /^bootstrap --recover-from=(\S+)/.exec(words)?.[1]
    if (from !== undefined)
      return () => {
        const { uid, revision } = readBackup(from)
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
  ): Promise<KubernetesAnswer> {
    const run = currentRun()
    if (run === undefined) await alive({ isDead: true } as never)
    const path = url.split('?')[0] ?? ''
    if (method !== 'GET') await beforeChange(`${method} ${path}`, run)
    const count = this.machines.filter((one) => this.configOf(one) !== undefined).length
    const own = method === 'GET' ? answerOfKubernetes(url, { uid: this.uid, count }) : undefined
    if (own !== undefined) return own
    try {
      const api = this.kubernetes(() => alive(run))
      const text = await api.ask({ method, path: url, body } as never, { server })
      return { status: 200, text }
    } catch (error) {
      const status = (error as { status?: number }).status ?? 503
      return { status, text: JSON.stringify({ message: String(error) }) }
    }
  }
}

function failure(stderr: string): object {
  return { exitCode: 1, stderr: `error: ${stderr}` }
}

/** Bytes as etcd writes them: pages, here with the cluster's UID, and their sha256. */
function backupOf(uid: string, revision: number): Buffer {
  const data = Buffer.alloc(1024, ' ')
  data.write(JSON.stringify({ uid, revision }))
  return Buffer.concat([data, createHash('sha256').update(data).digest()])
}

function readBackup(path: string): { uid: string; revision: number } {
  return JSON.parse(readFileSync(path).subarray(0, 1024).toString()) as {
    uid: string
    revision: number
  }
}
