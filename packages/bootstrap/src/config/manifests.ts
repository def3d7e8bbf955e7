/** The user's Kubernetes manifests, which Talos applies to a new cluster. */
import { join, relative } from 'node:path'
import {
  exitCodes,
  listUserFolder,
  Problem,
  quote,
  readUserFile,
  type Cluster,
} from '@talosmith/core'
import { isMap, isScalar, isSeq, parseAllDocuments, stringify } from 'yaml'
import { sha256 } from '../secrets/secrets.ts'
import { folderLost } from './patch-problems.ts'

/** Digests of manifests, by the name of their file. */
export type ManifestDigests = Readonly<Record<string, string>>

/** The user's manifests of a cluster. */
export interface Manifests {
  readonly digests: ManifestDigests
  /** The patch of each control plane's config that brings them; undefined: there are none. */
  readonly patch: { readonly path: string; readonly text: string } | undefined
}

/**
 * All of them together. Talos returns a config twice in one message of at most 32 MiB (constants.GRPCMaxMessageSize;
 * internal/integration/api/apid.go), and in YAML the lines are indented.
 */
const largestBytes = 4 * 1024 * 1024

/**
 * Reads env/<cluster>/manifests as a patch with cluster.inlineManifests, which every version from 1.9 on reads, also
 * beside the documents of 1.14 (container.go, K8sInlineManifestConfigs). Talos applies them in the order of their file
 * names, namespaces and CRDs first (manifest_apply.go). Throws MANIFEST_INVALID for what Talos would retry forever or
 * ignore, MANIFESTS_LOST when the folder is gone and the last configs were made with the manifests `before`.
 */
export async function readManifests(
  cluster: Cluster,
  before: ManifestDigests = {},
): Promise<Manifests> {
  const { manifestsDir: folder, root } = cluster
  const shown = (name: string): string => relative(root, join(folder, name))
  const names = await listUserFolder(folder, shown('.'))
  if (names === undefined && Object.keys(before).length > 0)
    throw await folderLost(cluster, 'manifests', Object.keys(before))
  const texts = new Map<string, string>()
  const problems: string[] = []
  for (const name of (names ?? []).filter((one) => !one.startsWith('.'))) {
    // Before it is read: what has this name may be a folder.
    if (!/\.(?:ya?ml|json)$/i.test(name)) {
      problems.push(`${name}: its name does not end with .yaml, .yml or .json`)
      continue
    }
    const text = await readUserFile(join(folder, name), shown(name))
    // Talos takes an inline manifest without contents for the address of one (extra_manifest.go, process).
    if (!/^(?!\s*(?:#|---|$))/m.test(text)) {
      if (text.trim() === '')
        problems.push(`${name}: it is empty; the command that writes it may have failed`)
      continue
    }
    problems.push(...manifestProblems(text).map((problem) => `${name}: ${problem}`))
    texts.set(name, text)
  }
  const [name] = problems.map((problem) => problem.replace(/:.*$/s, ''))
  if (name !== undefined)
    throw invalid(
      shown('.'),
      problems,
      `correct the files, then run the same command again; to keep one out of use, put a dot in front of its name (mv ${quote(shown(name))} ${quote(shown(`.${name}`))}); the next Kubernetes upgrade then deletes its objects`,
    )
  const bytes = [...texts.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (bytes > largestBytes)
    throw invalid(
      shown('.'),
      [`the files have ${bytes} bytes together; a machine config has room for ${largestBytes}`],
      'keep only what the cluster needs to start, such as its CNI, and apply the rest with kubectl',
    )
  const inlineManifests = [...texts].map(([name, contents]) => ({ name, contents }))
  return {
    digests: Object.fromEntries([...texts].map(([name, text]) => [name, sha256(text)])),
    patch:
      texts.size === 0
        ? undefined
        : { path: folder, text: stringify({ cluster: { inlineManifests } }, { lineWidth: 0 }) },
  }
}

/**
 * Why Talos could not read a manifest, or apply an object of it. It splits the text by itself, at lines that are `---`
 * (adapters/k8s/manifest.go, SetYAML; apimachinery's YAMLReader). Values are not named: they may be secrets.
 */
export function manifestProblems(text: string): string[] {
  if (/^(?:---[ \t]*[^\s#]|%|\.\.\.)/m.test(text))
    return ['documents must be separated by lines that are only ---, without directives']
  const found: string[] = []
  for (const [index, document] of parseAllDocuments(text).entries()) {
    const which = `document ${index + 1}`
    const [error] = 'errors' in document ? document.errors : []
    const { contents } = document
    if (error !== undefined) {
      const line = error.linePos?.[0].line
      const isTemplate = line !== undefined && text.split('\n')[line - 1]?.includes('{{') === true
      const what = error.code === 'DUPLICATE_KEY' ? 'has the same key twice' : 'is not YAML'
      found.push(
        `${which} ${what}${line === undefined ? '' : ` (line ${line})`}${isTemplate ? '; a template must be rendered first, for example by helm template' : ''}`,
      )
    } else if (!isEmpty(contents)) found.push(...objectProblems(contents, which))
  }
  return found
}

function isEmpty(node: unknown): boolean {
  return node === null || (isScalar(node) && node.value === null)
}

function objectProblems(node: unknown, which: string): string[] {
  if (!isMap(node)) return [`${which} is not a Kubernetes object`]
  const items = node.get('items')
  // As Unstructured.IsList does, whatever its kind.
  if (isSeq(items))
    return items.items.flatMap((item, index) =>
      objectProblems(item, `item ${index + 1} of ${which}`),
    )
  const lacking = [['apiVersion'], ['kind'], ['metadata', 'name']].filter((path) => {
    const value = node.getIn(path)
    return typeof value !== 'string' || value === ''
  })
  return lacking.length === 0
    ? []
    : [`${which} lacks ${lacking.map((path) => path.join('.')).join(', ')}`]
}

function invalid(folder: string, problems: readonly string[], hint: string): Problem {
  return new Problem('MANIFEST_INVALID', `Talos could not apply the manifests in ${folder}`, {
    because: `\n${problems.join('\n')}`,
    now: 'nothing was changed',
    hint,
    exitCode: exitCodes.wrongSetting,
  })
}

/**
 * What happens to objects that are in the cluster when their manifests change. Talos creates those that do not exist and
 * leaves others alone (manifest_apply.go, apply); `talosctl upgrade-k8s` changes them, and from 1.13 on deletes those
 * whose manifest is gone (talos_managed.go, syncManifestsSSA).
 */
export function describeManifestChanges(
  cluster: Cluster,
  before: ManifestDigests,
  digests: ManifestDigests,
): string[] {
  const folder = relative(cluster.root, cluster.manifestsDir)
  const changed = Object.keys(digests).filter(
    (name) => before[name] !== undefined && before[name] !== digests[name],
  )
  const removed = Object.keys(removedManifests(before, digests))
  return [
    ...changed.map(
      (name) =>
        `${folder}/${name} has changed: Talos creates only objects that do not exist; the others change at the next Kubernetes upgrade, or with kubectl apply --server-side --force-conflicts --field-manager=talos -f ${quote(`${folder}/${name}`)}`,
    ),
    ...removed.map(
      (name) =>
        `${folder}/${name} is gone: its objects stay in the cluster, and from Talos 1.13 on the next Kubernetes upgrade deletes them; to keep them, put the file back`,
    ),
  ]
}

/** Those that are gone; one that only has another name is not. */
export function removedManifests(
  before: ManifestDigests,
  digests: ManifestDigests,
): ManifestDigests {
  const kept = new Set(Object.values(digests))
  return Object.fromEntries(
    Object.entries(before).filter(
      ([name, digest]) => digests[name] === undefined && !kept.has(digest),
    ),
  )
}
