/** The serial console of a machine: where it is logged, and its text. */
/** The file on the KVM host to which virtlogd logs a machine's serial console. */
export function consoleLog(name: string): string {
  return `/var/log/libvirt/qemu/${name}-console.log`
}

/** The lines of a console without terminal escape sequences and empty lines. */
export function plainLines(text: string): string[] {
  return text
    .replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1a\x7f]/g, '')
    .split(/\r?\n|\r/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
}
