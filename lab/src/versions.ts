/** Versions of the real programs in the lab. lab/tools/go.mod pins them; the other versions on offer are here. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'

/** The version of a Go module in lab/tools/go.mod, such as v1.2.3; throws when it is not pinned there. */
export function pinnedModule(path: string): string {
  const modules = readFileSync(join(projectRoot, 'lab', 'tools', 'go.mod'), 'utf8')
  const line = modules.split('\n').find((one) => one.startsWith(`\t${path} v`))
  const version = line?.split(' ')[1]
  if (version === undefined) throw new Error(`lab/tools/go.mod does not pin ${path}`)
  return version
}

/** Two image tags differ from what go.mod pins: etcd's is Talos' own, the provisioner's is the chart's. */
export const versions = {
  talos: pinnedModule('github.com/siderolabs/talos/pkg/machinery'),
  kubernetes: pinnedModule('k8s.io/kubernetes'),
  /** Offered as well, for upgrades. */
  kubernetesBefore: 'v1.36.2',
  helm: pinnedModule('helm.sh/helm/v4'),
  etcd: 'v3.6.12',
  provisioner: 'v6.3.0',
} as const
