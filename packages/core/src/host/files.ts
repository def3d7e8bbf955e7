/** Reads, writes and uploads files of a host by commands. */
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Transform } from 'node:stream'
import { commandText, shellOf } from '../process/command.ts'
import type { Run } from '../process/run.ts'
import { stopping } from '../stop.ts'
import type { Host } from './host.ts'

/**
 * A host on top of `run`. Files are transferred by commands instead of SFTP, so that they work the same
 * locally and over SSH, and as root where commands run through sudo.
 */
export function hostOver(run: Run, rest: Pick<Host, 'name' | 'isLocal' | 'close'>): Host {
  const $ = shellOf(run)
  return {
    ...rest,
    $,
    async read(path) {
      return (await $`cat -- ${path}`).stdout
    },
    async write(path, text, { mode = 0o644 } = {}) {
      await run(receive(path, Buffer.byteLength(text), mode), {
        input: text,
        called: commandText`write ${path}`,
      })
    },
    async upload(localPath, remotePath, { mode = 0o644, onProgress, signal } = {}) {
      const signals = [stopping, ...(signal === undefined ? [] : [signal])]
      const { size } = await stat(localPath)
      signals.forEach((one) => one.throwIfAborted())
      let sent = 0
      const counted = new Transform({
        highWaterMark: 1 << 20,
        transform(chunk: Buffer, _encoding, done) {
          sent += chunk.length
          onProgress?.(sent)
          done(null, chunk)
        },
      })
      const file = createReadStream(localPath, { highWaterMark: 1 << 20 })
      // The command that reads it reports the error; the error may occur before that command starts.
      counted.on('error', () => undefined)
      file.on('error', (error) => counted.destroy(error))
      // When the input ends early, the command fails and cleans up. A signal could prevent the cleanup, so it is
      // sent only if the command does not end.
      const late = new AbortController()
      const stop = (): void => {
        const reason: unknown = signals.find(({ aborted }) => aborted)?.reason
        counted.destroy(reason as Error)
        setTimeout(() => late.abort(reason), 5000).unref()
      }
      signals.forEach((one) => one.addEventListener('abort', stop, { once: true }))
      try {
        await run(receive(remotePath, size, mode), {
          input: file.pipe(counted),
          called: commandText`upload ${remotePath}`,
          timeoutMs: Infinity,
          signal: late.signal,
          outlivesStop: true,
        })
      } finally {
        signals.forEach((one) => one.removeEventListener('abort', stop))
        file.destroy()
      }
    },
  }
}

/**
 * The command that writes its standard input to `path`. The size is checked before the rename, because the
 * input just ends when the connection breaks. `conv=sparse` turns zeroes into holes.
 */
function receive(path: string, size: number, mode: number): string {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`)
  return commandText`to=${path}
tmp=${temporary}
trap 'rm -f -- "$tmp"' EXIT
umask 077
dd of="$tmp" bs=64K iflag=fullblock conv=sparse,excl status=none
got=$(stat -c %s -- "$tmp")
if [ "$got" != ${size} ]; then echo "only $got of ${size} bytes arrived for $to" >&2; exit 1; fi
chmod ${mode.toString(8)} -- "$tmp"
mv -f -T -- "$tmp" "$to"`
}
