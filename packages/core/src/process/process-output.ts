/** Collects the output of a process and splits it into lines. */
import { StringDecoder } from 'node:string_decoder'

/** Collects one output stream of a process after its start marker; all of it when the marker never appears. */
export function outputAfter(marker: string, onText: (chunk: Buffer | undefined) => void) {
  let before = Buffer.alloc(0)
  let begun = false
  let resolvePid: (pid: number) => void = () => undefined
  const chunks: Buffer[] = []
  const keep = (chunk: Buffer): void => {
    if (chunk.length === 0) return
    chunks.push(chunk)
    onText(chunk)
  }
  return {
    /** The process id, which follows the marker; a signal sent earlier waits for it. */
    pid: new Promise<number>((resolve) => (resolvePid = resolve)),
    add(chunk: Buffer): void {
      if (begun) return keep(chunk)
      before = Buffer.concat([before, chunk])
      const start = before.indexOf(marker)
      const end = start < 0 ? -1 : before.indexOf('\n', start)
      if (end < 0) return
      begun = true
      resolvePid(Number(before.toString('utf8', start + marker.length, end)))
      keep(before.subarray(end + 1))
    },
    /** Whether the marker has appeared. */
    hasBegun: () => begun,
    text(): string {
      if (!begun) keep(before)
      onText(undefined)
      return Buffer.concat(chunks).toString()
    },
  }
}

/** Splits chunks into lines; each call returns the function to which the chunks of one stream are passed. */
export function lineSplitter(onLine: ((line: string) => void) | undefined) {
  return () => {
    const decoder = new StringDecoder()
    let rest = ''
    return (chunk: Buffer | undefined): void => {
      if (onLine === undefined) return
      // A carriage return alone also ends a line: programs print progress bars that way.
      const parts = (rest + (chunk === undefined ? decoder.end() : decoder.write(chunk))).split(
        /\r?\n|\r(?!$)/,
      )
      rest = parts.pop() ?? ''
      parts.forEach((line) => onLine(line))
      if (chunk === undefined && rest !== '') onLine(rest)
      if (chunk === undefined) rest = ''
    }
  }
}
