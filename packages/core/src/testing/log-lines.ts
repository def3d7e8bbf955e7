/** What a host prints of a log that it was told to read. */
/** The lines of `read_log` for the log of `name`. */
export function logLines(name: string, text: string, quietS = 0): string {
  return `console ${name} ${Buffer.from(text).toString('base64')}\nquiet ${name} ${quietS}\n`
}
