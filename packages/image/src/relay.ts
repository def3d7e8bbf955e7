/** Downloads the image on the operator's machine and sends it to a host (IMAGE_RELAY). */
import { parseLabelledLines, Problem, retry, type Host } from '@talosmith/core'
import {
  factoryError,
  factoryUnreachable,
  fetchReason,
  fetchChecksum,
  fetchThroughProxy,
  isBusy,
} from '@talosmith/clients/factory'
import type { progressReader } from './progress.ts'
import { attemptLimit, type TransferTimeouts } from './timeouts.ts'
import type { TransferContext } from './transfer.ts'

/** Bytes that one command sends to the host, while the next piece is downloaded. */
const pieceBytes = 4 * 2 ** 20

/** The partial download on the host, and its origin: the file `source` of transfer.sh. */
interface PartialDownload {
  readonly bytes: number
  readonly url: string
  /** ETag or Last-Modified. */
  readonly validator: string
  readonly total: number
}

/**
 * Downloads the compressed image and appends it piece by piece to a file on a host without internet access;
 * resumes a partial download. transfer.sh decompresses it afterwards. Returns the checksum that the factory
 * offers, or ''.
 */
export async function relay(
  folder: string,
  { cluster, host, signal, progress, log }: TransferContext,
  timeouts: TransferTimeouts,
  reader: ReturnType<typeof progressReader>,
): Promise<string> {
  const { url } = cluster.image
  let before = 0
  let broken: Problem | undefined
  await retry(
    async () => {
      broken = undefined
      const kept = await observePartial(folder, host)
      if (kept.url === url && kept.total > 0 && kept.bytes === kept.total) return
      before = reader.bytes
      const failure = await fetchRest(url, folder, kept, { host, signal, timeouts, reader })
      if (failure === undefined) return
      broken = failure instanceof Problem ? failure : interrupted(failure, folder, url, host)
      throw broken
    },
    {
      attempts: attemptLimit,
      pauseMs: (failures) => timeouts.retryDelay * failures * 1000,
      // What is thrown, such as a refusal of the factory or a full disk of the host, is not retried.
      isTransient: () => broken !== undefined,
      hasProgressed: () => reader.bytes > before,
      onRetry(_, pauseMs) {
        const why = broken?.because
        log.event('relay-broken', { host: host.name, why })
        progress(`interrupted (${why}); resuming in ${pauseMs / 1000} s`)
      },
      signal,
    },
  )
  return fetchChecksum(url, { log, signal })
}

function interrupted(why: string, folder: string, url: string, host: Host): Problem {
  return new Problem('IMAGE_RELAY_FAILED', `could not relay ${url} to ${host.name}`, {
    because: why,
    now: `the partial download is kept in ${folder} on ${host.name}`,
    hint: 'run the same command again: it resumes the download',
  })
}

async function observePartial(folder: string, host: Host): Promise<PartialDownload> {
  const { stdout } =
    await host.$`[ -d ${folder} ] || mkdir -m 700 ${folder}; cd ${folder}; touch compressed
    stat -c 'bytes %s' compressed
    if [ -e source ]; then sed -n ${'1s/^/url /p; 2s/^/validator /p; 3s/^/total /p'} source; fi`
  const report = parseLabelledLines(stdout)
  return {
    bytes: Number(report.first('bytes')),
    url: report.first('url') ?? '',
    validator: report.first('validator') ?? '',
    total: Number(report.first('total') ?? 0),
  }
}

/** Downloads the rest; returns why it was interrupted. Throws what another attempt would not change. */
async function fetchRest(
  url: string,
  folder: string,
  kept: PartialDownload,
  {
    host,
    signal,
    timeouts,
    reader,
  }: Pick<TransferContext, 'host' | 'signal'> & {
    timeouts: TransferTimeouts
    reader: ReturnType<typeof progressReader>
  },
): Promise<Problem | string | undefined> {
  const watch = watchdog(signal)
  let received = kept.url === url ? kept.bytes : 0
  let responded = false
  try {
    watch.allow(timeouts.firstByte)
    const response = await fetchThroughProxy(url, {
      signal: watch.signal,
      headers: received > 0 ? { range: `bytes=${received}-` } : {},
    })
    responded = true
    if (response.status >= 400 && response.status !== 416) {
      const problem = factoryError(url, response.status, await response.text())
      if (!isBusy(response.status)) throw problem
      return problem.because ?? `status ${response.status}`
    }
    const validator = response.headers.get('etag') ?? response.headers.get('last-modified') ?? ''
    const [, start, whole] =
      /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
    const total =
      response.status === 206 ? Number(whole) : Number(response.headers.get('content-length') ?? 0)
    if (response.status !== 206) received = 0
    else if (Number(start) !== received || validator !== kept.validator || total !== kept.total) {
      await host.$`cd ${folder}; rm -f compressed source`
      return 'the file at the factory has changed'
    }
    if (response.status === 416) {
      await host.$`cd ${folder}; rm -f compressed source`
      return 'the file at the factory is shorter than the partial download'
    }
    if (received === 0) await host.$`cd ${folder}; : > compressed`
    await host.write(`${folder}/source`, `${url}\n${validator}\n${total}\n`)
    let sending = Promise.resolve()
    try {
      for await (const piece of piecesOf(response, () => watch.allow(timeouts.idle))) {
        watch.stop()
        await sending
        const at = received
        received += piece.length
        sending = append(folder, host, at, piece).then(() => reader.at(at + piece.length, total))
        sending.catch(() => undefined)
      }
    } finally {
      watch.stop()
      await sending
    }
    return total > 0 && received !== total
      ? `only ${received} of ${total} bytes arrived`
      : undefined
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Problem) throw error
    if (watch.signal.aborted) return `no data for ${watch.seconds} s`
    const why = fetchReason(error)
    return responded ? why : factoryUnreachable(url, why)
  } finally {
    watch.stop()
  }
}

/** Appends a piece at offset `at`, under the lock that excludes other runs. */
async function append(folder: string, host: Host, at: number, piece: Uint8Array): Promise<void> {
  await host.$({ input: piece })`cd ${folder}
    exec 8>>lock; flock 8
    size=$(stat -c %s compressed)
    if [ "$size" != ${at} ]; then echo "the file has $size bytes, not ${at}" >&2; exit 1; fi
    cat >> compressed`
}

async function* piecesOf(response: Response, onData: () => void): AsyncGenerator<Buffer> {
  if (response.body === null) return
  let parts: Uint8Array[] = []
  let size = 0
  let failed: { error: unknown } | undefined
  onData()
  try {
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
      parts.push(part)
      size += part.length
      if (size >= pieceBytes) {
        yield Buffer.concat(parts)
        parts = []
        size = 0
      }
      onData()
    }
  } catch (error) {
    failed = { error }
  }
  // Keeps what arrived before the interruption.
  if (size > 0) yield Buffer.concat(parts)
  if (failed !== undefined) throw failed.error
}

/** Aborts when the timeout that was last set with `allow` expires, or when `outer` aborts. */
export function watchdog(outer: AbortSignal) {
  const abort = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const dog = {
    signal: AbortSignal.any([outer, abort.signal]),
    seconds: 0,
    allow(seconds: number): void {
      dog.seconds = seconds
      clearTimeout(timer)
      timer = setTimeout(() => abort.abort(), seconds * 1000)
    },
    stop: () => clearTimeout(timer),
  }
  return dog
}
