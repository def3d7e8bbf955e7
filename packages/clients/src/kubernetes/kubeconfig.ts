/** What a kubeconfig, as Talos writes it, tells. */
import { parse } from 'yaml'

/** What of a kubeconfig is used to reach the API. */
export interface KubeAccess {
  readonly server: string
  readonly ca: string
  readonly certificate: string
  readonly key: string
}

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string }
  }[]
  readonly users: readonly {
    readonly user: {
      readonly 'client-certificate-data': string
      readonly 'client-key-data': string
    }
  }[]
}

/**
 * Reads the admin kubeconfig as Talos writes it: one cluster, one user. Throws for anything else, without a
 * line of it.
 */
export function parseKubeconfig(text: string): KubeAccess {
  const { clusters, users } = (parseYaml(text) ?? {}) as Partial<Kubeconfig>
  const [target, login] = [clusters?.[0]?.cluster, users?.[0]?.user]
  if (target === undefined || login === undefined) throw new Error('a kubeconfig without a cluster')
  return {
    server: target.server,
    ca: decode(target['certificate-authority-data']),
    certificate: decode(login['client-certificate-data']),
    key: decode(login['client-key-data']),
  }
}

/** Without the parser's message, which quotes the line: it may be the key. */
function parseYaml(text: string): unknown {
  try {
    return parse(text)
  } catch {
    throw new Error('a kubeconfig that is not YAML')
  }
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString()
}
