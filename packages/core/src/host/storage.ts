/** Commands that look at files on storage that may not answer, for example an NFS mount whose server is down. */
import { posix } from 'node:path'
import { codes } from '../codes.ts'
import { parseLabelledLines } from '../labelled-lines.ts'
import { Problem } from '../problem.ts'
import { quote } from '../process/command.ts'
import { CommandFailed, timeoutExitCode, type RunOptions } from '../process/shell.ts'
import { minute } from '../wait.ts'
import type { Host } from './host.ts'

/** A folder that a command looks at, and what it is: 'the pool default'. */
export interface Place {
  readonly what: string
  readonly folder: string
}

interface StorageOptions {
  /** When the command is given up in any case. */
  readonly withinMs: number
  /** When a command that still runs is looked into. */
  readonly probeAfterMs: number
  /** How long the root of a file system may take to answer. */
  readonly answerS: number
  /** What state things are in, if it fails. */
  readonly now: string
}

/** A file system that hangs is reported within the 21 s that a diagnosis takes, with the grace period of the command. */
const defaults: StorageOptions = {
  ...{ withinMs: 5 * minute, probeAfterMs: 8000, answerS: 8 },
  now: 'nothing was changed',
}

/**
 * Runs a command that looks at files in `places`, with the options that `command` is called with. Throws
 * STORAGE_SILENT, soon when one of the file systems does not answer, and in any case after `withinMs`.
 */
export async function onStorage<T>(
  host: Host,
  places: readonly Place[],
  command: (options: RunOptions) => Promise<T>,
  options: Partial<StorageOptions> = {},
): Promise<T> {
  const { withinMs, probeAfterMs, answerS, now } = { ...defaults, ...options }
  const silent = new AbortController()
  const timer = setTimeout(() => {
    // A host that does not answer is not the storage's problem.
    const found = findSilent(host, places, { answerS, now }).catch(() => undefined)
    void found.then((problem) => problem && silent.abort(problem))
  }, probeAfterMs)
  try {
    return await command({ timeoutMs: withinMs, signal: silent.signal })
  } catch (error) {
    if (!(error instanceof CommandFailed) || error.exitCode !== timeoutExitCode) throw error
    const because = `the command did not end within ${withinMs / 1000} s`
    throw storageSilent(host, places[0], { because, now })
  } finally {
    clearTimeout(timer)
  }
}

/** The Problem of the first file system that does not answer; undefined: all do. */
async function findSilent(
  host: Host,
  places: readonly Place[],
  { answerS, now }: Pick<StorageOptions, 'answerS' | 'now'>,
): Promise<Problem | undefined> {
  const folders = [...new Set(places.map(({ folder }) => folder))]
  // Nothing waits for a process that hangs: it may not even end when it is killed.
  const { stdout } = await host.$({ timeoutMs: (answerS + 10) * 1000 })`
folders=(${folders}) pids=()
for folder in "\${folders[@]}"; do stat -f -- "$folder" </dev/null >/dev/null 2>&1 & pids+=($!); done
sleep ${answerS}
for at in "\${!pids[@]}"; do
  if kill -KILL "\${pids[at]}" 2>/dev/null; then echo "silent \${folders[at]}"; fi
done
while read -r device point type _; do echo "mount $type $device $point"; done </proc/self/mounts`
  const report = parseLabelledLines(stdout)
  const folder = report.first('silent')
  if (folder === undefined) return undefined
  const mount = mountOf(folder, report.all('mount'))
  const where = mount && `; it is on ${mount.device} (${mount.type}), mounted at ${mount.point}`
  return storageSilent(
    host,
    places.find((place) => place.folder === folder),
    {
      because: `stat -f ${quote(folder)} did not end within ${answerS} s${where ?? ''}`,
      now,
      // Only what has a server is mounted again.
      point:
        mount !== undefined && /^(?:nfs|cifs|smb|fuse)/.test(mount.type) ? mount.point : undefined,
    },
  )
}

/** The mount that a folder is on, from lines `<type> <device> <mount point>`, in which the kernel writes spaces as \040. */
function mountOf(folder: string, lines: readonly string[]) {
  const mounts = lines.map((line) => {
    const [type = '', device = '', point = ''] = line
      .split(' ')
      .map((word) =>
        word.replaceAll(/\\([0-7]{3})/g, (_, code: string) =>
          String.fromCharCode(Number.parseInt(code, 8)),
        ),
      )
    return { type, device, point }
  })
  const isAbove = (point: string): boolean =>
    `${folder}/`.startsWith(point === '/' ? '/' : `${point}/`)
  return mounts
    .filter(({ point }) => isAbove(point))
    .reduce<(typeof mounts)[number] | undefined>(
      (best, one) => (best === undefined || one.point.length >= best.point.length ? one : best),
      undefined,
    )
}

function storageSilent(
  host: Host,
  place: Place | undefined,
  { because, now, point }: { because: string; now: string; point?: string | undefined },
): Problem {
  const { what = 'the storage', folder = '/' } = place ?? {}
  const again =
    point === undefined
      ? ''
      : `. If the server does not come back, stop the machines that use it, which lose what they were writing, then: umount -f -l ${quote(point)} && mount ${quote(point)}`
  return new Problem(codes.storageSilent, `${what} at ${folder} on ${host.name} does not answer`, {
    because,
    now,
    hint: `on ${host.name}: findmnt ${quote(point ?? posix.dirname(folder))}; start the server of that file system, or look for errors of its disk (dmesg); blocked processes then continue${again}. Then run the same command again`,
  })
}
