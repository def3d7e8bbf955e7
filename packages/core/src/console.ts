/** Where virtlogd writes a machine's serial console, on its host. */
export function consoleLog(name: string): string {
  return `/var/log/libvirt/qemu/${name}-console.log`
}

/** Lines without the terminal's own codes, and without empty ones. */
export function plainLines(text: string): string[] {
  return text
    .replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1a\x7f]/g, '')
    .split(/\r?\n|\r/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
}
