/** Every secret that the files of a cluster hold, to remove them from texts. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createRedactor,
  generatedFiles,
  secretSettings,
  type Cluster,
  type Redactor,
} from '@talosmith/core'
import { secretsInConfigs, secretWords, stringsIn } from './secret-values.ts'

/** Files of ours in which every string is a secret, also their copies in backups/, removed/ and archive/. */
const secretFile = /(?:^|[./])(?:secrets\.yaml|talosconfig|kubeconfig)(?:\.|$)/
/** Records without secrets, and snapshots, which are no text. */
const withoutSecrets = /^(?:runs|bundles)\/|\.db$|^[\w.-]+\.json$|^backups\/[^/]*\.json$/
/** A config with manifests of 4 MiB, indented, is smaller. */
const largest = 16 * 2 ** 20

/**
 * A redactor that knows all secrets of a cluster: its secret files, machine configs and access files, those
 * set aside, its patches and manifests, and settings such as UPGRADE_GATE_COMMAND. Keeps its names and addresses.
 */
export async function redactorOf(cluster: Cluster): Promise<Redactor> {
  const files = generatedFiles(cluster)
  const names = (await files.list())
    .filter(({ name, bytes }) => !withoutSecrets.test(name) && bytes < largest)
    .map(({ name }) => name)
  const own = await Promise.all(
    names.map(async (name) => ({
      isSecret: secretFile.test(name),
      // A link is not ours.
      text: (await files.read(name).catch(() => undefined)) ?? '',
    })),
  )
  const configs = own.filter(({ isSecret }) => !isSecret).map(({ text }) => text)
  const settings = Object.values(secretSettings(cluster.settings))
  return createRedactor(
    [
      ...own.flatMap(({ isSecret, text }) => (isSecret ? stringsIn(text) : [])),
      ...secretsInConfigs([...configs, ...(await readUserFiles(cluster))]),
      ...settings,
      ...settings.flatMap(secretWords),
    ],
    openTexts(cluster),
  )
}

async function readUserFiles({ patchesDir, manifestsDir }: Cluster): Promise<string[]> {
  const texts = await Promise.all(
    [patchesDir, manifestsDir].map(async (folder) => {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
      return Promise.all(
        entries
          .filter((entry) => !entry.isDirectory())
          .map(({ name }) => readFile(join(folder, name), 'utf8').catch(() => '')),
      )
    }),
  )
  return texts.flat()
}

/** Names and addresses of a cluster: its access files contain them beside the secrets. */
export function openTexts({
  name,
  nodes,
  endpoint,
  vip,
  image,
  settings,
}: Cluster): ReadonlySet<string> {
  return new Set([
    name,
    // As Talos names user and context of its kubeconfig.
    `admin@${name}`,
    endpoint,
    new URL(endpoint).hostname,
    image.installer,
    settings.INSTALL_DISK,
    ...(vip === undefined ? [] : [vip]),
    ...nodes.flatMap((node) => [node.name, node.address]),
  ])
}
