/** Remedies that are typed on a KVM host: `# on <host>` goes before them, whatever they are. */

/** So long a guest may take to shut down, as Talos itself gives its pods time; then its power is cut. */
const shutdownS = 180

/** Commands for the host, after the line that says where. */
export function onHost(
  { host }: { readonly host: string },
  ...commands: readonly string[]
): string[] {
  return [`# on ${host}`, ...commands]
}

/** Off and on once; a machine that ignores the shutdown loses its power. */
export function offAndOn(host: { readonly host: string }, name: string): string[] {
  return onHost(
    host,
    // Pressed again and again: one that boots does not notice the first time.
    `timeout ${shutdownS} sh -c 'until virsh domstate ${name} | grep -q off; do virsh shutdown ${name}; sleep 5; done' || virsh destroy ${name}; virsh start ${name}`,
  )
}

/** The same for a machine in which nothing runs that could be ended. */
export function powerCycle(host: { readonly host: string }, name: string): string[] {
  return onHost(host, `virsh destroy ${name}; virsh start ${name}`)
}
