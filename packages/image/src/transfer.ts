/** Transfers the image to a host. */
import {
  codes,
  CommandFailed,
  hostProxy,
  poolFiles,
  Problem,
  proxyOfHost,
  retry,
  withoutCredentials,
  type Cluster,
  type Host,
  type Log,
} from '@talosmith/core'
import { factoryError, factoryUnreachable, isBusy } from '@talosmith/clients/factory'
import { transferScript } from './host-scripts.ts'
import {
  expectedSha256,
  readLedger,
  recordInLedger,
  checkDigest,
  type LedgerEntry,
} from './ledger.ts'
import { isRelayed, unpackers } from './observe.ts'
import { progressReader } from './progress.ts'
import { relay, watchdog } from './relay.ts'
import { attemptLimit, defaultTimeouts, type TransferTimeouts } from './timeouts.ts'
import { verifyImage } from './verify.ts'

/** The script reports every second; only writing to disk at its end takes minutes, and its last requests. */
const silentS = 15 * 60

/** What a transfer needs. */
export interface TransferContext {
  readonly cluster: Cluster
  readonly host: Host
  readonly log: Log
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  readonly timeouts?: TransferTimeouts
}

/** The result of one attempt, as transfer.sh prints it. */
interface Outcome {
  readonly kind: string
  readonly words: readonly string[]
  readonly text: string
}

/** Transfers the image to `path` on the host, verifies and records it; resumes an interrupted transfer. */
export async function transferImage(path: string, context: TransferContext): Promise<void> {
  const { cluster, host, signal, timeouts = defaultTimeouts } = context
  const known = await readLedger(cluster)
  const relayed = isRelayed(cluster.settings, host)
  const folder = await openPartialFolder(host, cluster.settings.STORAGE_POOL, path)
  const reader = progressReader(context.progress)
  let before = 0
  let broken: Outcome | undefined
  const outcome = await retry(
    async () => {
      before = reader.bytes
      broken = undefined
      const from = relayed
        ? { url: '', offered: await relay(folder, context, timeouts, reader) }
        : { url: cluster.image.url, offered: '' }
      const result = await attempt({ path, folder }, from, known, context, reader)
      if (result.kind === 'placed' || result.kind === 'exists') return result
      const problem = outcomeProblem(result, folder, context, known)
      if (problem === undefined || isTransient(result)) broken = result
      throw problem ?? interrupted(result.text, folder, context)
    },
    {
      attempts: attemptLimit,
      pauseMs: (failures) => timeouts.retryDelay * failures * 1000,
      isTransient: () => broken !== undefined,
      hasProgressed: () => reader.bytes > before,
      onRetry(_, pauseMs) {
        const { kind, text: why } = broken ?? { kind: '', text: '' }
        context.log.event('transfer-broken', { host: host.name, kind, why })
        context.progress(`interrupted (${why || kind}); resuming in ${pauseMs / 1000} s`)
      },
      signal,
    },
  )
  if (outcome.kind === 'exists') return verifyImage(path, host, cluster)
  return recordTransfer(outcome, context)
}

/** The folder of an unfinished transfer, which pool-files.sh chooses; the folders above it exist afterwards. */
async function openPartialFolder(host: Host, pool: string, image: string): Promise<string> {
  const { stdout } = await host.$(poolFiles(pool))`: find the folder of the transfer
eval "$POOL_FILES"
folder=$(partial_folder ${image})
mkdir -p -- "$(dirname -- "$folder")"
echo "$folder"`
  return stdout.trimEnd()
}

async function attempt(
  { path, folder }: { readonly path: string; readonly folder: string },
  { url, offered }: { readonly url: string; readonly offered: string },
  known: LedgerEntry | undefined,
  { cluster, host, signal, timeouts = defaultTimeouts }: TransferContext,
  reader: ReturnType<typeof progressReader>,
): Promise<Outcome> {
  const { settings, schematic, image } = cluster
  const facts = JSON.stringify({
    url: image.url,
    schematic: schematic.id,
    version: settings.TALOS_VERSION,
    compression: settings.IMAGE_COMPRESSION,
  }).slice(0, -1)
  const words = [
    path,
    folder,
    url,
    unpackers[settings.IMAGE_COMPRESSION],
    expectedSha256(cluster, known) ?? '',
    facts,
    offered,
    timeouts.firstByte,
    timeouts.idle,
  ]
  const watch = watchdog(signal)
  const onLine = (line: string): void => {
    watch.allow(silentS)
    reader.read(line)
  }
  try {
    watch.allow(silentS)
    const { stdout } = await host.$({
      onLine,
      signal: watch.signal,
      timeoutMs: Infinity,
      env: hostProxy(settings, host),
    })`bash -c ${transferScript(settings.STORAGE_POOL)} talosmith-image ${words}`
    const [kind = '', ...rest] = stdout.trim().split(' ')
    // curl repeats a proxy that it cannot use, with its password.
    return { kind, words: rest, text: withoutCredentials(rest.join(' ')) }
  } catch (error) {
    signal.throwIfAborted()
    if (watch.signal.aborted) throw hanging(folder, cluster, host)
    if (!(error instanceof CommandFailed)) throw error
    // Without the progress lines.
    const output = error.stderr.replaceAll(/^(at|waiting) .*\n?/gm, '').slice(-500)
    if (/no space left|quota exceeded/i.test(output))
      return { kind: 'full', words: [], text: output }
    throw new Problem('IMAGE_TRANSFER_FAILED', `could not transfer the image to ${host.name}`, {
      because: output,
      now: `the partial download is kept in ${folder}`,
      hint: `check that the folder on ${host.name} is writable, then run the same command again`,
      cause: error,
    })
  } finally {
    watch.stop()
  }
}

function hanging(folder: string, { settings }: Cluster, host: Host): Problem {
  return new Problem('IMAGE_TRANSFER_FAILED', `the transfer of the image to ${host.name} hangs`, {
    because: `it made no progress for ${silentS / 60} minutes`,
    now: `the partial download is kept in ${folder}`,
    hint: `on ${host.name}: see whether the pool ${settings.STORAGE_POOL} answers (findmnt -T, df, dmesg), then run the same command again: it resumes the download`,
  })
}

/** Whether the transfer is retried. */
function isTransient({ kind, words: [status = ''] }: Outcome): boolean {
  return kind === 'unanswered' || (kind === 'refused' && isBusy(Number(status)))
}

/** The Problem of an outcome; undefined when the transfer is simply resumed. */
function outcomeProblem(
  { kind, words: [first = '', second = '', ...rest], text }: Outcome,
  folder: string,
  { cluster, host }: TransferContext,
  known: LedgerEntry | undefined,
): Problem | undefined {
  const { image, settings } = cluster
  const removed = 'the download was removed; no image was created'
  switch (kind) {
    case 'broken':
    case 'changed':
      return undefined
    case 'unanswered':
      return factoryUnreachable(image.url, text, {
        from: host.name,
        proxy: proxyOfHost(image.url, settings, host),
      })
    case 'refused':
      return factoryError(image.url, Number(first), [second, ...rest].join(' '))
    case 'full':
      return new Problem(codes.poolFull, `${host.name} has no space left for the image`, {
        because: text,
        now: `the partial download is kept in ${folder}`,
        hint: `free up space there and in the pool ${settings.STORAGE_POOL}, then run the same command again: it resumes the download; or set STORAGE_POOL to another pool`,
      })
    case 'damaged':
      return new Problem(
        'IMAGE_DAMAGED',
        `the download of ${image.url} to ${host.name} is corrupted`,
        {
          because: text,
          now: removed,
          hint: 'run the same command again; if it happens again, check the proxy or cache between the host and the factory',
        },
      )
    case 'checksum-differs':
      return new Problem('IMAGE_CHECKSUM_DIFFERS', `${image.url} does not match its .sha256 file`, {
        because: `expected ${first}, got ${second}`,
        now: removed,
        hint: 'run the same command again; if it happens again, check the proxy or cache between the host and the factory',
      })
    case 'not-raw':
      return new Problem('IMAGE_NOT_RAW', `the download of ${image.url} is not a disk image`, {
        because: `it decompresses to ${first} bytes that do not start with a boot sector`,
        now: removed,
        hint: `curl -sSL ${image.url} | head -c 300 on ${host.name} shows the response`,
      })
    case 'sha256-differs':
      return digestProblem(cluster, known, second, removed)
    default:
      return new Problem(
        'IMAGE_TRANSFER_FAILED',
        `the transfer to ${host.name} ended unexpectedly`,
        {
          because: `${kind} ${text}`.trim(),
          hint: 'run the same command again',
        },
      )
  }
}

function digestProblem(
  cluster: Cluster,
  known: LedgerEntry | undefined,
  sha256: string,
  now: string,
): Problem | undefined {
  try {
    checkDigest(cluster, known, { sha256 }, now)
    return undefined
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

function interrupted(why: string, folder: string, { cluster, host }: TransferContext): Problem {
  const { image } = cluster
  return new Problem(
    'IMAGE_TRANSFER_FAILED',
    `the transfer of ${image.url} to ${host.name} keeps being interrupted`,
    {
      because: why,
      now: `the partial download is kept in ${folder}`,
      hint: 'run the same command again: it resumes the download',
    },
  )
}

async function recordTransfer(
  { words: [compressedBytes, compressed = '', rawBytes, raw = '', offered] }: Outcome,
  { cluster, host, log }: TransferContext,
): Promise<void> {
  const entry: LedgerEntry = {
    url: cluster.image.url,
    schematic: cluster.schematic.id,
    version: cluster.settings.TALOS_VERSION,
    compression: cluster.settings.IMAGE_COMPRESSION,
    compressed: { bytes: Number(compressedBytes), sha256: compressed },
    raw: { bytes: Number(rawBytes), sha256: raw },
    at: new Date().toISOString(),
  }
  log.event('image-placed', { host: host.name, ...entry, checksumOffered: offered === 'checked' })
  await recordInLedger(cluster, entry)
}
