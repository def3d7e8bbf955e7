import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generatedFiles, Problem, type Cluster, type Generated, type Node } from '@talosmith/core'
import { renderPatch } from './contract.ts'
import { secretsFile } from './secrets.ts'
import { talosReason, type Talosctl } from './talosctl.ts'

/** Folder for talosctl's output before it is put in place; 0700, emptied before and after use. */
export const workFolder = 'work'
const inputsFile = 'configs/inputs.sha256'

/** Where a node's config lies. */
export function configFile(node: Pick<Node, 'name'>): string {
  return `configs/${node.name}.yaml`
}

/** A user's patch for one node: where it lies and what it says. */
interface Patch {
  readonly path: string
  readonly text: string
}

/** Everything the configs are made of. */
export interface ConfigInputs {
  readonly digest: string
  readonly patches: ReadonlyMap<string, readonly Patch[]>
}

/** Reads what the configs are made of. */
export async function readInputs(
  cluster: Cluster,
  secretsDigest: string,
  talosctl: string,
): Promise<ConfigInputs> {
  const patches = new Map<string, readonly Patch[]>()
  for (const node of cluster.nodes) patches.set(node.name, await patchesFor(cluster, node))
  const { settings, endpoint, image } = cluster
  const parts = [
    secretsDigest,
    talosctl,
    endpoint,
    image.installer,
    settings.TALOS_VERSION,
    settings.KUBERNETES_VERSION,
    settings.INSTALL_DISK,
    sans(cluster),
    cluster.nodes.map((node) => [
      node.name,
      node.role,
      renderPatch(cluster, node),
      patches.get(node.name)?.map(({ text }) => text),
    ]),
  ]
  return { digest: createHash('sha256').update(JSON.stringify(parts)).digest('hex'), patches }
}

/** Whether the configs that are there were made of these inputs. */
export async function areConfigsCurrent(
  cluster: Cluster,
  { digest }: ConfigInputs,
): Promise<boolean> {
  const files = generatedFiles(cluster)
  if ((await files.read(inputsFile)) !== digest) return false
  const there = await Promise.all(
    [...cluster.nodes.map(configFile), 'talosconfig'].map((name) => files.has(name)),
  )
  return there.every(Boolean)
}

/** Generates every node's config and the talosconfig, patches and validates them, then puts them in place. */
export async function generateConfigs(
  cluster: Cluster,
  inputs: ConfigInputs,
  talosctl: Talosctl,
): Promise<void> {
  const files = generatedFiles(cluster)
  const { settings, image } = cluster
  await files.remove(workFolder)
  await files.write(`${workFolder}/.keep`, '')
  try {
    await talosctl.offline(
      'gen',
      'config',
      cluster.name,
      cluster.endpoint,
      '--with-secrets',
      files.path(secretsFile),
      '--output-types',
      'controlplane,worker,talosconfig',
      '--output',
      files.path(workFolder),
      '--force',
      '--talos-version',
      settings.TALOS_VERSION,
      '--kubernetes-version',
      settings.KUBERNETES_VERSION.slice(1),
      '--install-disk',
      settings.INSTALL_DISK,
      '--install-image',
      image.installer,
      '--additional-sans',
      sans(cluster).join(','),
      '--with-docs=false',
      '--with-examples=false',
    )
    const endpoints = cluster.controlPlanes.map(({ address }) => address)
    const talosconfig = files.path(workFolder, 'talosconfig')
    await talosctl.offline('--talosconfig', talosconfig, 'config', 'endpoint', ...endpoints)
    await talosctl.offline('--talosconfig', talosconfig, 'config', 'node', ...endpoints.slice(0, 1))
    for (const node of cluster.nodes) await generateConfig(cluster, node, inputs, talosctl, files)
    for (const node of cluster.nodes)
      await files.write(configFile(node), await written(files, `${node.name}.yaml`))
    await files.write('talosconfig', await written(files, 'talosconfig'))
    // Last: a killed run makes them all again.
    await files.write(inputsFile, inputs.digest)
  } finally {
    await files.remove(workFolder)
  }
}

async function generateConfig(
  cluster: Cluster,
  node: Node,
  { patches }: ConfigInputs,
  talosctl: Talosctl,
  files: Generated,
): Promise<void> {
  const own = files.path(workFolder, `${node.name}.patch.yaml`)
  await files.write(`${workFolder}/${node.name}.patch.yaml`, renderPatch(cluster, node))
  const theirs = (patches.get(node.name) ?? []).map(({ path }) => path)
  const base = files.path(workFolder, `${node.role}.yaml`)
  const result = files.path(workFolder, `${node.name}.yaml`)
  const patchArgs = [own, ...theirs].flatMap((path) => ['--patch', `@${path}`])
  try {
    await talosctl.offline('machineconfig', 'patch', base, ...patchArgs, '--output', result)
    await talosctl.offline('validate', '--mode', 'cloud', '--config', result)
  } catch (cause) {
    throw new Problem(
      'CONFIG_INVALID',
      `the machine config of ${node.name} is not valid for Talos ${cluster.settings.TALOS_VERSION}`,
      {
        because: talosReason(cause),
        now: 'nothing was sent to any machine',
        hint:
          theirs.length === 0
            ? 'check TALOS_VERSION and KUBERNETES_VERSION'
            : `correct the patches: ${theirs.join(', ')}`,
        cause,
      },
    )
  }
}

async function written(files: Generated, name: string): Promise<string> {
  const text = await files.read(`${workFolder}/${name}`)
  if (text === undefined) throw new Error(`talosctl wrote no ${name}`)
  return text
}

/** Every address and name under which the API is asked for. */
function sans({ controlPlanes, endpoint, vip }: Cluster): string[] {
  const all = [
    ...controlPlanes.map(({ address }) => address),
    new URL(endpoint).hostname,
    ...(vip === undefined ? [] : [vip]),
  ]
  return [...new Set(all)]
}

/** The user's patches for a node, in the order in which they are applied: all, role, the node's own. */
async function patchesFor({ patchesDir }: Cluster, node: Node): Promise<Patch[]> {
  const names = (await readdir(patchesDir).catch(() => []))
    .filter((name) => name.endsWith('.yaml'))
    .sort()
  const chosen = ['all', node.role, node.name].flatMap((prefix) =>
    names.filter(
      (name) =>
        name === `${prefix}.yaml` || name.startsWith(`${prefix}-`) || name.startsWith(`${prefix}.`),
    ),
  )
  return Promise.all(
    [...new Set(chosen)].map(async (name) => ({
      path: join(patchesDir, name),
      text: await readFile(join(patchesDir, name), 'utf8'),
    })),
  )
}
