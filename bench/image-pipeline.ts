/**
 * Measures how fast an image is downloaded to a host: image:download against manual commands, for the same raw
 * bytes, served on this machine. Goal: six times as fast as `wget | xz -d`, both digests included.
 *
 * The image has the shape of a Talos nocloud image: 1246 MiB, of which 100 MiB hold data that was
 * compressed before (kernel, initramfs, squashfs) and the rest zeroes. The data are this machine's own
 * programs, compressed; xz runs as in Talos' imager (`xz -0 -T0`), zstd at a faster level than the imager's
 * -18. A second image has 300 MiB of uncompressed programs.
 *
 * Every way is timed until its bytes are on the disk (including a `sync` of the file), one after the other, in
 * several rounds; the best of each counts, because other load only slows them down. The table also has the CPU
 * time of all processes. Its last line is `wget | xz -d` without the sync.
 *
 *   npm run bench -- image            IMAGE_BENCH_ROUNDS=5 for more rounds
 */
import { createReadStream, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { local, silentLog } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { transferImage } from '@talosmith/image/testing'

const rounds = Number(process.env['IMAGE_BENCH_ROUNDS'] ?? 3)
const goal = 6
const root = temporaryFolder('bench')

interface Timing {
  readonly wallMs: number
  readonly cpuMs: number
}
interface Way {
  readonly name: string
  readonly run: (image: string, out: string) => Promise<void>
}

const server = createServer(({ url = '' }, response) => {
  const path = join(root, `${url.split('/')[1]}.raw${/raw(\.\w+)$/.exec(url)?.[1] ?? ''}`)
  if (url.endsWith('.sha256') || !existsSync(path)) return void response.writeHead(402).end()
  response.writeHead(200, { 'content-length': statSync(path).size })
  createReadStream(path, { highWaterMark: 1 << 20 }).pipe(response)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const byHand = (name: string, command: (url: string, out: string) => string): Way => ({
  name,
  async run(image, out) {
    await local.$`bash -c ${`set -o pipefail; ${command(`${origin}/${image}/x.raw`, out)}`}`
  },
})
const ours = (compression: 'zst' | 'xz'): Way => ({
  name: `image:download, IMAGE_COMPRESSION=${compression}, both digests`,
  async run(image, out) {
    const settings = { TALOS_FACTORY_URL: `${origin}/${image}`, IMAGE_COMPRESSION: compression }
    await transferImage(out, {
      cluster: testCluster(settings, join(root, 'project')),
      host: local,
      log: silentLog,
      signal: new AbortController().signal,
      progress: () => undefined,
    })
  },
})
const baseline = byHand(
  'wget | xz -d',
  (url, out) => `wget -qO- ${url}.xz | xz -d > ${out}; sync ${out}`,
)
const ways: readonly Way[] = [
  baseline,
  byHand(
    'curl | zstd -d --sparse, no digest',
    (url, out) => `curl -sS ${url}.zst | zstd -dqf --sparse -o ${out}; sync ${out}`,
  ),
  byHand(
    'curl | zstd -d --sparse, then sha256sum',
    (url, out) =>
      `curl -sS ${url}.zst | zstd -dqf --sparse -o ${out}; sync ${out}; sha256sum ${out}`,
  ),
  ours('zst'),
  ours('xz'),
  byHand('wget | xz -d, without sync', (url, out) => `wget -qO- ${url}.xz | xz -d > ${out}`),
]

try {
  const report = []
  for (const image of ['compressed-100', 'programs-300'] as const) {
    console.error(`making ${image} (once a run; about a minute)`)
    const bytes = await makeImage(image)
    const timings = new Map<Way, Timing[]>(ways.map((way) => [way, []]))
    for (let round = 0; round < rounds; round++)
      for (const way of ways) timings.get(way)?.push(await time(way, image))
    report.push({ image, bytes, rows: rowsOf(timings) })
    // The ledger would refuse another image under the same name.
    rmSync(join(root, 'project'), { recursive: true, force: true })
    rmSync(join(root, `${image}.raw`))
  }
  for (const { image, bytes, rows } of report) printTable(image, bytes, rows)
  console.log(JSON.stringify({ bench: 'image-pipeline', rounds, goal, report }))
} finally {
  server.closeAllConnections()
  server.close()
}

async function time(way: Way, image: string): Promise<Timing> {
  const folder = join(root, 'pool')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  // Otherwise pending writes of the previous way would slow this one down.
  await local.$`sync`
  const cpuMs = childCpuMs()
  const started = performance.now()
  await way.run(image, join(folder, 'image.raw'))
  return { wallMs: performance.now() - started, cpuMs: childCpuMs() - cpuMs }
}

/** CPU time of all ended child processes and theirs (proc(5): cutime, cstime, in hundredths). */
function childCpuMs(): number {
  const [, rest = ''] = readFileSync('/proc/self/stat', 'utf8').split(') ')
  const fields = rest.split(' ')
  return (Number(fields[13]) + Number(fields[14])) * 10
}

/** Creates the raw image and its compressed forms; returns their sizes. */
async function makeImage(image: string): Promise<Record<string, number>> {
  const raw = join(root, `${image}.raw`)
  const programs = `find /usr/bin /usr/lib -type f -size +100k -print0 | sort -z | xargs -0 cat`
  const data = image.startsWith('compressed')
    ? `${programs} | head -c 600M | zstd -q -9 -T0 | head -c 100M`
    : `${programs} | head -c 300M`
  // head exits before the commands in front of it.
  await local.$({ nothrow: true })`bash -c ${`${data} > ${raw}.data`}`
  await local.$`truncate -s 1246M ${raw}
    printf ${'\\x55\\xaa'} | dd of=${raw} bs=1 seek=510 conv=notrunc status=none
    dd if=${`${raw}.data`} of=${raw} bs=1M seek=1 conv=notrunc status=none
    zstd -q -3 -T0 ${raw} -o ${`${raw}.zst`}
    xz -0 -T0 -k ${raw}`
  const size = (path: string): number => statSync(path).size
  return {
    raw: size(raw),
    data: size(`${raw}.data`),
    zst: size(`${raw}.zst`),
    xz: size(`${raw}.xz`),
  }
}

interface Row {
  readonly way: string
  readonly wallSeconds: number
  readonly cpuSeconds: number
  /** How many times as fast as `wget | xz -d`. */
  readonly ratio: number
}

function rowsOf(timings: ReadonlyMap<Way, readonly Timing[]>): Row[] {
  const best = (way: Way, pick: (timing: Timing) => number): number =>
    Math.min(...(timings.get(way) ?? []).map(pick))
  return ways.map((way) => ({
    way: way.name,
    wallSeconds: round(best(way, ({ wallMs }) => wallMs) / 1000),
    cpuSeconds: round(best(way, ({ cpuMs }) => cpuMs) / 1000),
    ratio: round(best(baseline, ({ wallMs }) => wallMs) / best(way, ({ wallMs }) => wallMs)),
  }))
}

function printTable(image: string, bytes: Record<string, number>, rows: readonly Row[]): void {
  const sizes = Object.entries(bytes).map(([name, size]) => `${name} ${Math.round(size / 2 ** 20)}`)
  console.log(`\n${image} (MiB: ${sizes.join(', ')}), best of ${rounds}`)
  console.log(`${'wall s'.padStart(8)}${'cpu s'.padStart(8)}${'ratio'.padStart(8)}  way`)
  for (const { way, wallSeconds, cpuSeconds, ratio } of rows)
    console.log(
      [wallSeconds, cpuSeconds, ratio].map((value) => value.toFixed(2).padStart(8)).join('') +
        `  ${way}`,
    )
  const { ratio = 0 } = rows.find(({ way }) => way.includes('=zst')) ?? {}
  console.log(`goal ${goal}x: ${ratio >= goal ? 'reached' : 'missed'}, ${ratio.toFixed(1)}x`)
}

function round(value: number): number {
  return Number(value.toFixed(2))
}
