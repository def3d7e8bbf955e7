import { setTimeout as sleep } from 'node:timers/promises'
import { Problem, type Host } from '@talosmith/core'
import {
  factoryError,
  factoryUnreachable,
  fetchReason,
  fetchChecksum,
} from '@talosmith/clients/factory'
import type { progressReader } from './progress.ts'
import { attemptLimit, type TransferTimeouts } from './timeouts.ts'
import type { TransferContext } from './transfer.ts'

/** So much goes to the host with one command; the next piece is fetched meanwhile. */
const pieceBytes = 4 * 2 ** 20

/** What lies on the host, and where it came from: the file `source` of transfer.sh. */
interface Kept {
  readonly bytes: number
  readonly url: string
  readonly mark: string
  readonly total: number
}

/**
 * Fetches the compressed image here and appends it on a host that has no way out, piece by piece;
 * carries on what lies there already. transfer.sh unpacks it afterwards. Gives back the checksum that
 * the factory offers, or ''.
 */
export async function relay(
  folder: string,
  { cluster, host, signal, progress, log }: TransferContext,
  timeouts: TransferTimeouts,
  reader: ReturnType<typeof progressReader>,
): Promise<string> {
  const { url } = cluster.image
  const offered = (): Promise<string> => fetchChecksum(url, { log, signal })
  let fruitless = 0
  for (;;) {
    const kept = await lookAt(folder, host)
    if (kept.url === url && kept.total > 0 && kept.bytes === kept.total) return offered()
    const before = reader.bytes
    const failure = await fetchRest(url, folder, kept, { host, signal, timeouts, reader })
    if (failure === undefined) return offered()
    fruitless = reader.bytes > before ? 1 : fruitless + 1
    if (
      failure instanceof Problem &&
      (fruitless === attemptLimit || failure.code === 'FACTORY_ERROR')
    )
      throw failure
    if (fruitless === attemptLimit)
      throw new Problem('IMAGE_RELAY_FAILED', `could not relay ${url} to ${host.name}`, {
        because: String(failure),
        now: `what has arrived is kept in ${folder} on ${host.name}`,
        hint: 'run the same command again: it carries on where this one ended',
      })
    const why = failure instanceof Problem ? failure.because : failure
    log.event('relay-broken', { host: host.name, why })
    progress(`broke off (${why}); carrying on in ${timeouts.retryDelay * fruitless} s`)
    await sleep(timeouts.retryDelay * fruitless * 1000, undefined, { signal })
  }
}

async function lookAt(folder: string, host: Host): Promise<Kept> {
  const { stdout } =
    await host.$`mkdir -p -m 700 ${folder}; cd ${folder}; touch compressed; stat -c %s compressed; if [ -e source ]; then cat source; fi`
  const [bytes, url = '', mark = '', total] = stdout.split('\n')
  return { bytes: Number(bytes), url, mark, total: Number(total ?? 0) }
}

/** Fetches what is missing; gives back why it broke off. */
async function fetchRest(
  url: string,
  folder: string,
  kept: Kept,
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
  let has = kept.url === url ? kept.bytes : 0
  let began = false
  try {
    watch.allow(timeouts.firstByte)
    const response = await fetch(url, {
      signal: watch.signal,
      headers: has > 0 ? { range: `bytes=${has}-` } : {},
    })
    began = true
    if (response.status >= 400 && response.status !== 416) {
      const problem = factoryError(url, response.status, await response.text())
      const isPassing = response.status >= 500 || [408, 429].includes(response.status)
      return isPassing ? (problem.because ?? `status ${response.status}`) : problem
    }
    const mark = response.headers.get('etag') ?? response.headers.get('last-modified') ?? ''
    const [, start, whole] =
      /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
    const total =
      response.status === 206 ? Number(whole) : Number(response.headers.get('content-length') ?? 0)
    if (response.status !== 206) has = 0
    else if (Number(start) !== has || mark !== kept.mark || total !== kept.total) {
      await host.$`cd ${folder}; rm -f compressed source`
      return 'the factory has other bytes by now'
    }
    if (response.status === 416) {
      await host.$`cd ${folder}; rm -f compressed source`
      return 'the factory has fewer bytes by now'
    }
    if (has === 0) await host.$`cd ${folder}; : > compressed`
    await host.write(`${folder}/source`, `${url}\n${mark}\n${total}\n`)
    let sending = Promise.resolve()
    try {
      for await (const piece of piecesOf(response, () => watch.allow(timeouts.idle))) {
        watch.rest()
        await sending
        const at = has
        has += piece.length
        sending = append(folder, host, at, piece).then(() => reader.at(at + piece.length, total))
        sending.catch(() => undefined)
      }
    } finally {
      watch.rest()
      await sending
    }
    return total > 0 && has !== total ? `only ${has} of ${total} bytes arrived` : undefined
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Problem) throw error
    if (watch.signal.aborted) return `no byte came for ${watch.seconds} s`
    const why = fetchReason(error)
    return began ? why : factoryUnreachable(url, why)
  } finally {
    watch.rest()
  }
}

/** Appends a piece where the one before ended, while no other run does. */
async function append(folder: string, host: Host, at: number, piece: Uint8Array): Promise<void> {
  await host.$({ input: piece })`cd ${folder}
    exec 8>>lock; flock 8
    has=$(stat -c %s compressed)
    if [ "$has" != ${at} ]; then echo "the file has $has bytes, not ${at}" >&2; exit 1; fi
    cat >> compressed`
}

async function* piecesOf(response: Response, arrived: () => void): AsyncGenerator<Buffer> {
  if (response.body === null) return
  let parts: Uint8Array[] = []
  let size = 0
  let failed: { error: unknown } | undefined
  arrived()
  try {
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
      parts.push(part)
      size += part.length
      if (size >= pieceBytes) {
        yield Buffer.concat(parts)
        parts = []
        size = 0
      }
      arrived()
    }
  } catch (error) {
    failed = { error }
  }
  // What came before it broke off counts.
  if (size > 0) yield Buffer.concat(parts)
  if (failed !== undefined) throw failed.error
}

/** Aborts when nothing happens for as long as was allowed last, or when `outer` does. */
function watchdog(outer: AbortSignal) {
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
    rest: () => clearTimeout(timer),
  }
  return dog
}
