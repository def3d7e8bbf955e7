/** Reads a transfer's own lines, and tells where it stands in words. */
export function progressReader(tell: (text: string) => void, now = () => performance.now()) {
  let first: { at: number; ms: number } | undefined
  const reader = {
    /** How many bytes have arrived in all. */
    bytes: 0,
    read(line: string): void {
      const [word, value = '', total = ''] = line.split(' ')
      if (word === 'busy') tell('another run transfers this image; waiting for it')
      else if (word === 'waiting' && Number(value) > 2)
        tell(`waiting ${value} s for the factory, which builds an image when it is first asked for`)
      else if (word === 'at' && /^\d+$/.test(value)) reader.at(Number(value), Number(total))
    },
    at(bytes: number, total: number): void {
      // A transfer that begins afresh starts to count again.
      if (first === undefined || bytes < first.at) first = { at: bytes, ms: now() }
      reader.bytes = bytes
      tell(describeProgress(bytes, total, bytes - first.at, now() - first.ms))
    },
  }
  return reader
}

/** Bytes, rate and time left of a transfer, in words. */
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
