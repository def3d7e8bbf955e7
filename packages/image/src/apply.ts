import { setTimeout as sleep } from 'node:timers/promises'
import {
  CommandFailed,
  generatedFiles,
  local,
  Problem,
  type Cluster,
  type Host,
  type Log,
} from '@talosmith/core'
import { offeredChecksum, postSchematic } from './factory.ts'
import {
  checkDigests,
  readLedger,
  writeLedger,
  type Digest,
  type HostLedger,
  type LedgerEntry,
} from './ledger.ts'
import { decompressor, partialFolder } from './observe.ts'
import { pipeline } from './pipeline.ts'
import type { ImageChange } from './plan.ts'

/** What carrying out a change needs; `host` is missing for what happens at the factory. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly host?: Host
  readonly log: Log
  readonly signal: AbortSignal
}

/** How often a transfer that broke off is carried on within one run. */
const attempts = 5

/** Carries out one change; may be repeated, and carries on what a killed run left. */
export async function applyChange(change: ImageChange, context: ApplyContext): Promise<void> {
  const { cluster, host } = context
  if (change.kind === 'post-schematic') return postSchematic(cluster)
  if (host === undefined) throw new Error(`${change.kind} needs a host`)
  return change.kind === 'verify-image'
    ? verifyImage(change.target, host, cluster)
    : downloadImage(change.target, host, context)
}

/** Hashes an image that is there, checks it against ledger and pin, and records it. */
async function verifyImage(path: string, host: Host, cluster: Cluster): Promise<void> {
  const { stdout } = await host.$`stat -L -c %s ${path}; sha256sum < ${path}`
  const [bytes = '', sum = ''] = stdout.split('\n')
  const raw = { bytes: Number(bytes), sha256: sum.slice(0, 64) }
  const known = await readLedger(cluster)
  checkDigests(cluster, known, { raw })
  await record(path, host, cluster, known ?? entryOf(cluster, raw))
}

async function downloadImage(
  path: string,
  host: Host,
  { cluster, log, signal }: ApplyContext,
): Promise<void> {
  const folder = partialFolder(path)
  const progress = log.step(`Transfer ${cluster.image.url} to ${host.name}`)
  const started = performance.now()
  let first: number | undefined
  const onLine = (line: string): void => {
    const [, at, total] = /^at (\d+) (\d+)$/.exec(line) ?? []
    if (at === undefined) return
    first ??= Number(at)
    progress.progress(
      describeProgress(Number(at), Number(total), Number(at) - first, performance.now() - started),
    )
  }
  try {
    const url =
      cluster.settings.IMAGE_RELAY && !host.isLocal
        ? await relay(folder, host, cluster, onLine)
        : cluster.image.url
    const [compressed, raw] = await transfer(folder, url, { host, cluster, onLine, signal })
    await checkOffered(cluster, compressed, folder, host)
    await finish(path, folder, host, cluster, compressed, raw)
    progress.done(`Transferred ${mib(compressed.bytes)} MiB, ${mib(raw.bytes)} MiB unpacked`)
  } catch (error) {
    progress.fail()
    throw error
  }
}

/** Runs the pipeline until all has arrived; a transfer that breaks off is carried on, up to a limit. */
async function transfer(
  folder: string,
  url: string,
  {
    host,
    cluster,
    onLine,
    signal,
  }: { host: Host; cluster: Cluster; onLine: (line: string) => void; signal: AbortSignal },
): Promise<readonly [Digest, Digest]> {
  const tool = decompressor[cluster.settings.IMAGE_COMPRESSION]
  for (let attempt = 1; ; attempt++) {
    try {
      const { stdout } = await host.$({
        onLine,
        signal,
      })`bash -c ${pipeline} talosmith-image ${folder} ${url} ${tool}`
      const [compressed, raw] = stdout.trim().split('\n').map(digestOf)
      if (compressed === undefined || raw === undefined)
        throw new Error(`the transfer answered "${stdout}"`)
      return [compressed, raw]
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error
      if (attempt === attempts || isFinal(error))
        throw await transferFailed(error, folder, host, cluster)
      await sleep(1000 * attempt)
    }
  }
}

/** A refusal of the server, or no room: trying again at once can't help. */
function isFinal({ stderr }: CommandFailed): boolean {
  return /error: 4\d\d|No space left/.test(stderr)
}

async function transferFailed(
  error: CommandFailed,
  folder: string,
  host: Host,
  { image }: Cluster,
): Promise<Problem> {
  const said = error.stderr.split('\n').filter((line) => line !== '' && !/^at \d+ \d+$/.test(line))
  const isDamaged =
    /[Dd]ata corruption|Decoding error|corrupt|[Cc]hecksum|not in gzip format|Unknown frame|unsupported format/.test(
      error.stderr,
    )
  // Damaged bytes must not be carried on: the next run begins afresh.
  if (isDamaged) await host.$({ nothrow: true })`rm -rf ${folder}`
  return new Problem(
    isDamaged ? 'IMAGE_DAMAGED' : 'IMAGE_TRANSFER_FAILED',
    `could not transfer ${image.url} to ${host.name}`,
    {
      because: said.slice(-3).join('\n'),
      now: isDamaged
        ? 'what had arrived could not be unpacked and was removed'
        : `what has arrived is kept in ${folder}`,
      hint: isDamaged
        ? 'run the same command again'
        : 'run the same command again: it carries on where this one ended',
      cause: error,
    },
  )
}

/** Fetches the compressed image here and sends it to a host that has no way out; the empty URL says so. */
async function relay(
  folder: string,
  host: Host,
  cluster: Cluster,
  onLine: (line: string) => void,
): Promise<string> {
  const files = generatedFiles(cluster)
  const here = files.path('relay', cluster.image.fileName)
  await files.write('relay/.keep', '')
  try {
    await local.$({
      onLine,
    })`curl -fsSL --connect-timeout 20 --speed-limit 1000 --speed-time 60 --retry 5 --retry-all-errors -C - -o ${here} ${cluster.image.url}`
    await host.$`mkdir -p ${folder}`
    await host.upload(here, `${folder}/compressed`)
  } catch (cause) {
    throw new Problem(
      'IMAGE_RELAY_FAILED',
      `could not relay ${cluster.image.url} to ${host.name}`,
      {
        cause,
        now: `what has arrived here is kept in ${here}`,
        hint: 'run the same command again: it carries on where this one ended',
      },
    )
  }
  await files.remove('relay')
  return ''
}

/** Compares with the checksum that the factory offers, where it offers one. */
async function checkOffered(
  { image }: Cluster,
  compressed: Digest,
  folder: string,
  host: Host,
): Promise<void> {
  const offered = await offeredChecksum(image.url)
  if (offered === undefined || offered === compressed.sha256) return
  await host.$`rm -rf ${folder}`
  throw new Problem('IMAGE_CHECKSUM_DIFFERS', `${image.url} is not what its .sha256 says`, {
    because: `offered ${offered}, arrived ${compressed.sha256}`,
    now: 'what had arrived was removed; no image was put in place',
    hint: 'run the same command again',
  })
}

/** Checks what arrived, puts it in place, and records it on both sides. */
async function finish(
  path: string,
  folder: string,
  host: Host,
  cluster: Cluster,
  compressed: Digest,
  raw: Digest,
): Promise<void> {
  const known = await readLedger(cluster)
  try {
    checkDigests(cluster, known, { compressed, raw })
  } catch (error) {
    await host.$`rm -rf ${folder}`
    throw error
  }
  await host.$`chmod 0644 ${`${folder}/raw`} && mv -f ${`${folder}/raw`} ${path} && rm -rf ${folder}`
  await record(path, host, cluster, entryOf(cluster, raw, compressed))
}

/** Writes the ledger beside the image, with the file's time, and on the operator's machine. */
async function record(
  path: string,
  host: Host,
  cluster: Cluster,
  entry: LedgerEntry,
): Promise<void> {
  const { stdout } = await host.$`stat -L -c %.9Y ${path}`
  const beside: HostLedger = { ...entry, modified: stdout.trim() }
  await host.write(`${path}.ledger.json`, `${JSON.stringify(beside)}\n`)
  await writeLedger(cluster, entry)
}

function entryOf(
  { settings, schematic, image }: Cluster,
  raw: Digest,
  compressed?: Digest,
): LedgerEntry {
  return {
    url: settings.IMAGE_PATH ?? image.url,
    schematic: schematic.id,
    version: settings.TALOS_VERSION,
    ...(compressed === undefined ? {} : { compressed }),
    raw,
    at: new Date().toISOString(),
  }
}

function digestOf(line: string): Digest {
  const [bytes, sha256 = ''] = line.split(' ')
  return { bytes: Number(bytes), sha256 }
}

/** Bytes, rate and time left of a transfer, in words. */
export function describeProgress(
  at: number,
  total: number,
  arrived: number,
  elapsedMs: number,
): string {
  const rate = arrived / Math.max(elapsedMs / 1000, 0.001)
  const size = total > 0 ? `${mib(at)} of ${mib(total)} MiB` : `${mib(at)} MiB`
  if (arrived === 0) return `${size}, waiting for the factory`
  const left = total > 0 ? `, ${Math.ceil((total - at) / rate)} s left` : ''
  return `${size}, ${(rate / 2 ** 20).toFixed(1)} MiB/s${left}`
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
