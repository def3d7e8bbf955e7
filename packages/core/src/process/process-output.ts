import { StringDecoder } from 'node:string_decoder'

/** Collects one output of a process from its mark on; all of it when the mark never came. */
export function outputAfter(mark: string, onText: (chunk: Buffer | undefined) => void) {
  let before = Buffer.alloc(0)
  let begun = false
  let tellPid: (pid: number) => void = () => undefined
  const chunks: Buffer[] = []
  const keep = (chunk: Buffer): void => {
    if (chunk.length === 0) return
    chunks.push(chunk)
    onText(chunk)
  }
  return {
    /** Known once the mark has come; a process that is told to end before that has to wait for it. */
    pid: new Promise<number>((resolve) => (tellPid = resolve)),
    add(chunk: Buffer): void {
      if (begun) return keep(chunk)
      before = Buffer.concat([before, chunk])
      const start = before.indexOf(mark)
      const end = start < 0 ? -1 : before.indexOf('\n', start)
      if (end < 0) return
      begun = true
      tellPid(Number(before.toString('utf8', start + mark.length, end)))
      keep(before.subarray(end + 1))
    },
    text(): string {
      if (!begun) keep(before)
      onText(undefined)
      return Buffer.concat(chunks).toString()
    },
  }
}

/** Cuts chunks into lines; each call gives the feeder of one output. */
export function lineSplitter(onLine: ((line: string) => void) | undefined) {
  return () => {
    const decoder = new StringDecoder()
    let rest = ''
    return (chunk: Buffer | undefined): void => {
      if (onLine === undefined) return
      // A carriage return alone ends a line too: programs with progress bars write so.
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
