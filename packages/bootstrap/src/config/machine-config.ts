/** Generates and validates every node's machine config with talosctl. */
import { generatedFiles, Problem, type Cluster, type Node } from '@talosmith/core'
import { renderPatch } from './contract.ts'
import type { Patch, Patches } from './patches.ts'
import { secretsFile, sha256 } from '../secrets/secrets.ts'
import type { Talosctl } from '@talosmith/clients/talos'
import { configReason, withoutValues } from './config-reason.ts'
import { withWorkFolder, type WorkFolder } from '../generated/work-folder.ts'

/** Machine configs by node name. They hold secrets: never print one. */
export type Configs = ReadonlyMap<string, string>

/** Path of a node's config in generated/<cluster>. */
export function configFile({ name }: Pick<Node, 'name'>): string {
  return `configs/${name}.yaml`
}

/** Every address and name under which clients reach the APIs. */
export function namesOf({ controlPlanes, endpoint, vip }: Cluster): string[] {
  const addresses = controlPlanes.map(({ address }) => address)
  return [
    ...new Set([...addresses, new URL(endpoint).hostname, ...(vip === undefined ? [] : [vip])]),
  ]
}

/** Digest of all inputs of the configs: equal digests mean equal configs. */
export function digestInputs(
  cluster: Cluster,
  patches: Patches,
  secretsDigest: string,
  talosctlVersion: string,
): string {
  const { settings, endpoint, image, name } = cluster
  const { TALOS_VERSION, KUBERNETES_VERSION, INSTALL_DISK } = settings
  const texts = (node: Node): string[] =>
    (patches.byNode.get(node.name) ?? []).map(({ text }) => text)
  return sha256(
    JSON.stringify([
      [name, endpoint, namesOf(cluster), image.installer, secretsDigest, talosctlVersion],
      [TALOS_VERSION, KUBERNETES_VERSION, INSTALL_DISK],
      cluster.nodes.map((node) => [node.name, node.role, renderPatch(cluster, node), texts(node)]),
    ]),
  )
}

/**
 * Generates and validates every node's config in a private folder, without writing it to its final path. With
 * `throwaway` secrets, talosctl generates temporary ones, and the configs serve for validation only.
 */
export async function renderConfigs(
  cluster: Cluster,
  patches: Patches,
  talosctl: Talosctl,
  secrets: 'own' | 'throwaway' = 'own',
): Promise<{ readonly configs: Configs; readonly warnings: readonly string[] }> {
  return withWorkFolder(cluster, async (folder) => {
    const output = folder.path('.')
    await talosctl.offline(...genConfig(cluster, 'controlplane,worker', output, secrets))
    const configs = new Map<string, string>()
    const warnings = new Set<string>()
    // Machines with the same patches have the same config: fifty workers cost as much as one.
    for (const group of groupNodes(cluster, patches)) {
      const { text, warnings: own } = await renderConfig(cluster, group, talosctl, folder)
      for (const { name } of group.nodes) configs.set(name, text)
      for (const line of own) warnings.add(line)
    }
    return { configs, warnings: [...warnings] }
  })
}

/** Generates an admin talosconfig, as talosctl writes it, with the cluster's secrets or those of a backup. */
export async function renderTalosconfig(
  cluster: Cluster,
  talosctl: Talosctl,
  kept?: string,
): Promise<string> {
  return withWorkFolder(cluster, async (folder) => {
    if (kept !== undefined) await folder.write(secretsFile, kept)
    const secrets = kept === undefined ? 'own' : { path: folder.path(secretsFile) }
    const output = folder.path('talosconfig')
    await talosctl.offline(...genConfig(cluster, 'talosconfig', output, secrets))
    return folder.read('talosconfig')
  })
}

/** talosctl writes one output type to a file, several to a folder. */
function genConfig(
  cluster: Cluster,
  types: string,
  output: string,
  secrets: 'own' | 'throwaway' | { readonly path: string } = 'own',
): string[] {
  const { settings, image } = cluster
  const own = generatedFiles(cluster).path(secretsFile)
  const options = {
    ...(secrets !== 'throwaway' && { 'with-secrets': secrets === 'own' ? own : secrets.path }),
    'output-types': types,
    output,
    'talos-version': settings.TALOS_VERSION,
    'kubernetes-version': settings.KUBERNETES_VERSION.replace(/^v/, ''),
    'install-disk': settings.INSTALL_DISK,
    'install-image': image.installer,
    'additional-sans': namesOf(cluster).join(','),
    'with-docs': 'false',
    'with-examples': 'false',
    force: 'true',
  }
  const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  return ['gen', 'config', cluster.name, cluster.endpoint, ...flags]
}

interface Group {
  readonly role: Node['role']
  readonly nodes: Node[]
  readonly patches: readonly Patch[]
}

function groupNodes(cluster: Cluster, { byNode }: Patches): Group[] {
  const groups = new Map<string, Group>()
  for (const node of cluster.nodes) {
    const patches = byNode.get(node.name) ?? []
    const key = [node.role, ...patches.map(({ path }) => path)].join('\n')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { role: node.role, nodes: [node], patches })
    else group.nodes.push(node)
  }
  return [...groups.values()]
}

/** Validated as `cloud`: NoCloud needs no install section. Not strict: a deprecated field of a user's patch still works. */
async function renderConfig(
  cluster: Cluster,
  { role, nodes, patches }: Group,
  talosctl: Talosctl,
  folder: WorkFolder,
): Promise<{ readonly text: string; readonly warnings: readonly string[] }> {
  const name = nodes[0]?.name ?? role
  await folder.write(`${name}.patch.yaml`, renderPatch(cluster, { role }))
  // Uses the text that was read: the file may have changed since.
  const own = [folder.path(`${name}.patch.yaml`)]
  const texts = patches.map(({ text }) => text)
  for (const [index, { text }] of patches.entries()) {
    await folder.write(`${name}.${index}.yaml`, text)
    own.push(folder.path(`${name}.${index}.yaml`))
  }
  const result = folder.path(`${name}.yaml`)
  try {
    const flags = own.map((path) => `--patch=@${path}`)
    const base = folder.path(`${role}.yaml`)
    await talosctl.offline('machineconfig', 'patch', base, ...flags, `--output=${result}`)
    const { stderr } = await talosctl.offline('validate', '--mode=cloud', `--config=${result}`)
    const warnings = withoutValues(stderr, texts)
      .split('\n')
      .flatMap((line) => /^WARNING:?\s*(.+)/.exec(line)?.[1] ?? [])
    return { text: await folder.read(`${name}.yaml`), warnings }
  } catch (cause) {
    throw new Problem(
      'CONFIG_INVALID',
      `the machine config of ${name} is not valid for Talos ${cluster.settings.TALOS_VERSION}`,
      {
        because: configReason(cause, texts).replaceAll(folder.path('.'), ''),
        now: 'nothing was sent to any machine',
        hint:
          patches.length === 0
            ? 'check TALOS_VERSION, KUBERNETES_VERSION and INSTALL_DISK'
            : `correct ${patches.map(({ path }) => path).join(', ')}`,
      },
    )
  }
}
