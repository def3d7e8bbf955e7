import {
  codes,
  CommandFailed,
  commandFor,
  findTool,
  generatedFiles,
  local,
  Problem,
  type Cluster,
  type Host,
} from '@talosmith/core'

/** A Kubernetes object as far as every kind has it. */
export interface KubeObject {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly generation?: number
    readonly creationTimestamp?: string
    readonly deletionTimestamp?: string
  }
}

/** kubectl and helm of one cluster; neither is looked for before it is needed. */
export interface Kubernetes {
  /** Runs kubectl; its stdout. Throws a Problem that says what kubectl said. */
  kubectl(args: readonly string[], input?: string): Promise<string>
  /** The objects that one `kubectl get` finds; missing ones are left out. */
  get<T extends KubeObject>(args: readonly string[]): Promise<T[]>
  /** Makes objects exist, by server-side apply. */
  apply(objects: readonly object[]): Promise<void>
  /** Runs helm; its stdout. Throws CommandFailed. */
  helm(args: readonly string[], input?: string): Promise<string>
}

const kubectlTimeoutMs = 60_000
const helmTimeoutMs = 300_000

/** Binds kubectl and helm to the cluster's kubeconfig. `host` is where they run: this machine. */
export function openKubernetes(
  cluster: Cluster,
  host: Host = local,
  find: typeof findTool = findTool,
): Kubernetes {
  const kubeconfig = generatedFiles(cluster).path('kubeconfig')
  let kubectlPath: Promise<string> | undefined
  let helmPath: Promise<string> | undefined
  const kubectl: Kubernetes['kubectl'] = async (args, input) => {
    const path = await (kubectlPath ??= find('kubectl', cluster).then((tool) => tool.path))
    try {
      const { stdout } = await host.$({
        timeoutMs: kubectlTimeoutMs,
        ...(input === undefined ? {} : { input }),
      })`${path} --kubeconfig ${kubeconfig} --request-timeout=15s ${args}`
      return stdout
    } catch (error) {
      throw error instanceof CommandFailed ? kubectlProblem(cluster, args, error) : error
    }
  }
  return {
    kubectl,
    async get<T extends KubeObject>(args: readonly string[]) {
      const text = await kubectl(['get', ...args, '--ignore-not-found', '--output=json'])
      if (text.trim() === '') return []
      const answer = JSON.parse(text) as T & { readonly items?: T[] }
      return answer.items ?? [answer]
    },
    async apply(objects) {
      const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
      // The server refuses unknown fields itself; kubectl would first fetch the description of every kind.
      const flags = ['--server-side', '--validate=false', '--field-manager=talosmith']
      await kubectl(['apply', ...flags, '--force-conflicts', '--filename=-'], list)
    },
    async helm(args, input) {
      const path = await (helmPath ??= find('helm', cluster).then((tool) => tool.path))
      const { stdout } = await host.$({
        timeoutMs: helmTimeoutMs,
        ...(input === undefined ? {} : { input }),
      })`${path} ${args} --kubeconfig ${kubeconfig}`
      return stdout
    },
  }
}

const unreachable =
  /unable to connect to the server|connection refused|server .* was refused|no route to host|i\/o timeout|TLS handshake timeout|Client\.Timeout|did not end within|EOF$|ServiceUnavailable/im

function kubectlProblem(cluster: Cluster, args: readonly string[], error: CommandFailed): Problem {
  if (unreachable.test(`${error.stderr}\n${error.message}`))
    return new Problem(codes.kubernetesUnreachable, `${cluster.endpoint} does not answer kubectl`, {
      cause: error,
      hint: commandFor(cluster, 'bootstrap:health'),
    })
  return new Problem('KUBECTL_FAILED', `kubectl ${args.slice(0, 2).join(' ')} failed`, {
    because: error.stderr.trim().split('\n').slice(-3).join('\n'),
    cause: error,
    hint: commandFor(cluster, 'bootstrap:health'),
  })
}

/** For a check inside a wait: an API that does not answer for a moment is "not yet", not the end. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Problem && error.code === codes.kubernetesUnreachable)
      throw new Error(error.because ?? error.message)
    throw error
  }
}
