/** The progress of a transfer, as text. */

/** Parses the progress lines of transfer.sh, and reports the progress as text. */
export function progressReader(report: (text: string) => void, now = () => performance.now()) {
  let first: { at: number; ms: number } | undefined
  const reader = {
    /** The total number of bytes received. */
    bytes: 0,
    read(line: string): void {
      const [word, value = '', total = ''] = line.split(' ')
      if (word === 'busy') report('another run is transferring this image; waiting for it')
      else if (word === 'waiting' && Number(value) > 2)
        report(
          `waiting ${value} s for the factory, which builds an image when it is first requested`,
        )
      else if (word === 'at' && /^\d+$/.test(value)) reader.at(Number(value), Number(total))
    },
    at(bytes: number, total: number): void {
      // A restarted transfer counts from zero again.
      if (first === undefined || bytes < first.at) first = { at: bytes, ms: now() }
      reader.bytes = bytes
      report(describeProgress(bytes, total, bytes - first.at, now() - first.ms))
    },
  }
  return reader
}

/** Bytes, rate and remaining time of a transfer, as text. */
export function describeProgress(
  at: number,
  total: number,
  arrived: number,
  elapsedMs: number,
): string {
  const size = total > 0 ? `${mib(at)} of ${mib(total)} MiB` : `${mib(at)} MiB`
  if (arrived === 0 || elapsedMs === 0) return size
  const rate = arrived / (elapsedMs / 1000)
  const left = total > at ? `, ${Math.ceil((total - at) / rate)} s left` : ''
  return `${size}, ${(rate / 2 ** 20).toFixed(1)} MiB/s${left}`
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
