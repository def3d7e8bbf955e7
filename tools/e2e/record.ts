/** The record of a run: what ran where, and how each step ended; and its row in docs/compatibility.md. */
import { execFileSync } from 'node:child_process'
import { projectRoot, type Cluster } from '@talosmith/core'
import type { Stages } from './versions.ts'
import { onHosts } from './world.ts'

export interface StepRecord {
  readonly step: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly seconds?: number
  readonly because?: string
}

export interface RunRecord extends Stages {
  /** When it ended, as ISO 8601. */
  readonly at: string
  /** The commit of this project. */
  readonly commit: string
  /** The address of the workflow's run; by hand otherwise. */
  readonly by: string
  /** Operating system, libvirt, QEMU and kernel of the first host, and whether its machines had KVM. */
  readonly host: string
  /** Where the images came from. */
  readonly factory: string
  readonly machines: string
  readonly steps: readonly StepRecord[]
}

/** One line, for example `Debian GNU/Linux 12, libvirt 9.0.0, QEMU 7.2.15, KVM`. */
export async function describeHost(cluster: Cluster): Promise<string> {
  const command = `. /etc/os-release; echo "$PRETTY_NAME"
virsh version | sed -n 's/^Using library: libvirt /libvirt /p; s/^Running hypervisor: //p'
test -w /dev/kvm && echo KVM || echo 'no KVM'`
  const [first = []] = await onHosts(cluster, command)
  return first.join(', ')
}

/** Pure, but for the commit. */
export function describeRun(
  { settings, nodes }: Cluster,
  stages: Stages,
  host: string,
  steps: readonly StepRecord[],
  env: Readonly<Record<string, string | undefined>>,
): RunRecord {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: id } = env
  const controlPlanes = nodes.filter(({ role }) => role === 'controlplane').length
  return {
    at: new Date().toISOString(),
    commit: execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: projectRoot,
      encoding: 'utf8',
    }).trim(),
    by: server && repository && id ? `${server}/${repository}/actions/runs/${id}` : 'by hand',
    host,
    factory: settings.TALOS_FACTORY_URL,
    machines: `${controlPlanes}+${nodes.length - controlPlanes}`,
    ...stages,
    steps,
  }
}

/** A run's row in docs/compatibility.md. */
export function rowOf({ at, by, host, machines, before, after, steps }: RunRecord): string {
  const failed = steps.find(({ outcome }) => outcome === 'failed')
  const passed = steps.filter(({ outcome }) => outcome === 'passed').length
  const outcome = failed === undefined ? `${passed} passed` : `failed: ${failed.step}`
  return `| ${[
    at.slice(0, 10),
    by,
    host,
    machines,
    `${before.talos} -> ${after.talos}`,
    `${before.kubernetes} -> ${after.kubernetes}`,
    outcome,
  ].join(' | ')} |`
}
