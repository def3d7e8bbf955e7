/** The output format of scripts on hosts: one labelled line per fact. */
/**
 * The output of a shell script on a host: one line per fact, `label value`, or the label alone for a true one.
 * A value may have several fields; one that may contain spaces, such as a path, comes last. Bytes are base64.
 */
export interface LabelledLines {
  /** All lines, in order. */
  readonly lines: readonly { readonly label: string; readonly value: string }[]
  /** The values of all lines with this label. */
  all(label: string): string[]
  /** The value of the first line with this label; undefined when there is none. */
  first(label: string): string | undefined
  /** Whether there is a line with this label. */
  has(label: string): boolean
}

/** Parses the output of a script on a host. */
export function parseLabelledLines(text: string): LabelledLines {
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [label, value] = splitFields(line, 2)
      return { label: label ?? '', value: value ?? '' }
    })
  const all = (label: string): string[] =>
    lines.filter((line) => line.label === label).map(({ value }) => value)
  return {
    lines,
    all,
    first: (label) => all(label)[0],
    has: (label) => lines.some((line) => line.label === label),
  }
}

/** Splits a value into at most `count` fields; the last is the rest, spaces included. */
export function splitFields(value: string, count: number): string[] {
  const words = value.split(' ')
  if (words.length <= count) return words
  return [...words.slice(0, count - 1), words.slice(count - 1).join(' ')]
}
