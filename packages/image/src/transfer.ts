import { setTimeout as sleep } from 'node:timers/promises'
import { codes, CommandFailed, Problem, type Cluster, type Host, type Log } from '@talosmith/core'
import { factoryError, factoryUnreachable } from '@talosmith/clients/factory'
import { transferScript } from './host-scripts.ts'
import {
  expectedSha256,
  readLedger,
  recordInLedger,
  refuseOther,
  type LedgerEntry,
} from './ledger.ts'
import { isRelayed, partialFolder, unpackers } from './observe.ts'
import { progressReader } from './progress.ts'
import { relay } from './relay.ts'
import { attemptLimit, defaultTimeouts, type TransferTimeouts } from './timeouts.ts'
import { verifyImage } from './verify.ts'

/** What a transfer needs. */
export interface TransferContext {
  readonly cluster: Cluster
  readonly host: Host
  readonly log: Log
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  readonly timeouts?: TransferTimeouts
}

/** How one attempt ended: transfer.sh's answer. */
interface Outcome {
  readonly kind: string
  readonly words: readonly string[]
  readonly text: string
}

/** Transfers the image to `path` of the host, verified and recorded; a broken transfer is carried on. */
export async function transferImage(path: string, context: TransferContext): Promise<void> {
  const { cluster, host, signal, timeouts = defaultTimeouts } = context
  const known = await readLedger(cluster)
  const relayed = isRelayed(cluster.settings, host)
  const reader = progressReader(context.progress)
  let fruitless = 0
  for (;;) {
    const before = reader.bytes
    const from = relayed
      ? { url: '', offered: await relay(partialFolder(path), context, timeouts, reader) }
      : { url: cluster.image.url, offered: '' }
    const outcome = await attempt(path, from, known, context, reader)
    if (outcome.kind === 'placed') return recordTransfer(outcome, context)
    if (outcome.kind === 'there') return verifyImage(path, host, cluster)
    const problem = problemOf(outcome, path, context, known)
    if (problem !== undefined && !isPassing(outcome)) throw problem
    fruitless = reader.bytes > before ? 1 : fruitless + 1
    if (fruitless === attemptLimit) throw problem ?? brokenOff(outcome.text, path, context)
    context.log.event('transfer-broken', { host: host.name, kind: outcome.kind, why: outcome.text })
    const delay = timeouts.retryDelay * fruitless
    context.progress(`broke off (${outcome.text || outcome.kind}); carrying on in ${delay} s`)
    await sleep(delay * 1000, undefined, { signal })
  }
}

async function attempt(
  path: string,
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
    url,
    unpackers[settings.IMAGE_COMPRESSION],
    expectedSha256(cluster, known) ?? '',
    facts,
    offered,
    timeouts.firstByte,
    timeouts.idle,
  ]
  try {
    const { stdout } = await host.$({
      onLine: reader.read,
      signal,
    })`bash -c ${transferScript} talosmith-image ${words}`
    const [kind = '', ...rest] = stdout.trim().split(' ')
    return { kind, words: rest, text: rest.join(' ') }
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    // Its progress is no reason.
    const said = error.stderr.replaceAll(/^(at|waiting) .*\n?/gm, '').slice(-500)
    if (/no space left|quota exceeded/i.test(said)) return { kind: 'full', words: [], text: said }
    throw new Problem('IMAGE_TRANSFER_FAILED', `could not transfer the image to ${host.name}`, {
      because: said,
      now: `what has arrived is kept in ${partialFolder(path)}`,
      hint: `see whether ${host.name} lets you write there, then run the same command again`,
      cause: error,
    })
  }
}

/** What may be over in a moment; the rest isn't tried again. */
function isPassing({ kind, words: [status = ''] }: Outcome): boolean {
  return kind === 'unanswered' || (kind === 'refused' && /^(5..|429|408)$/.test(status))
}

/** What an outcome means; undefined where the transfer is simply carried on. */
function problemOf(
  { kind, words: [first = '', second = '', ...rest], text }: Outcome,
  path: string,
  { cluster, host }: TransferContext,
  known: LedgerEntry | undefined,
): Problem | undefined {
  const { image, settings } = cluster
  const gone = 'what had arrived was removed; no image was put in place'
  switch (kind) {
    case 'broken':
    case 'changed':
      return undefined
    case 'unanswered':
      return factoryUnreachable(image.url, text, host.name)
    case 'refused':
      return factoryError(image.url, Number(first), [second, ...rest].join(' '))
    case 'full':
      return new Problem(codes.poolFull, `${host.name} has no room left for the image`, {
        because: text,
        now: `what has arrived is kept in ${partialFolder(path)}`,
        hint: `make room there, then run the same command again: it carries on; or name another pool with STORAGE_POOL (now ${settings.STORAGE_POOL})`,
      })
    case 'damaged':
      return new Problem('IMAGE_DAMAGED', `${image.url} arrived on ${host.name} damaged`, {
        because: text,
        now: gone,
        hint: 'run the same command again; if it happens again, look at the proxy or cache between the host and the factory',
      })
    case 'unlike-offered':
      return new Problem('IMAGE_CHECKSUM_DIFFERS', `${image.url} is not what its .sha256 says`, {
        because: `offered ${first}, arrived ${second}`,
        now: gone,
        hint: 'run the same command again; if it happens again, look at the proxy or cache between the host and the factory',
      })
    case 'no-disk':
      return new Problem('IMAGE_NOT_RAW', `what ${image.url} gave is not a disk image`, {
        because: `it unpacks to ${first} bytes that do not begin as a disk does`,
        now: gone,
        hint: `curl -sSL ${image.url} | head -c 300 on ${host.name} shows what answers there`,
      })
    case 'unlike-known':
      return unlikeKnown(cluster, known, second, gone)
    default:
      return new Problem('IMAGE_TRANSFER_FAILED', `the transfer to ${host.name} ended oddly`, {
        because: `${kind} ${text}`.trim(),
        hint: 'run the same command again',
      })
  }
}

function unlikeKnown(
  cluster: Cluster,
  known: LedgerEntry | undefined,
  sha256: string,
  now: string,
): Problem | undefined {
  try {
    refuseOther(cluster, known, { sha256 }, now)
    return undefined
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

function brokenOff(why: string, path: string, { cluster, host }: TransferContext): Problem {
  const { image } = cluster
  return new Problem(
    'IMAGE_TRANSFER_FAILED',
    `the transfer of ${image.url} to ${host.name} keeps breaking off`,
    {
      because: why,
      now: `what has arrived is kept in ${partialFolder(path)}`,
      hint: 'run the same command again: it carries on where this one ended',
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
