/** Remedies to be run on a KVM host: a line `# on <host>` precedes them. */

/** How long a guest may take to shut down, since Talos gives pods time to stop; then it is powered off. */
const shutdownS = 180

/** Commands for the host, after the line that names it. */
export function onHost(
  { host }: { readonly host: string },
  ...commands: readonly string[]
): string[] {
  return [`# on ${host}`, ...commands]
}

/** Shuts the machine down, or powers it off after a timeout, and starts it. */
export function offAndOn(host: { readonly host: string }, name: string): string[] {
  return onHost(
    host,
    // Repeated: a machine that is booting ignores the first request.
    `timeout ${shutdownS} sh -c 'until virsh domstate ${name} | grep -q off; do virsh shutdown ${name}; sleep 5; done' || virsh destroy ${name}; virsh start ${name}`,
  )
}

/** The same for a machine on which no operating system runs that could shut down. */
export function powerCycle(host: { readonly host: string }, name: string): string[] {
  return onHost(host, `virsh destroy ${name}; virsh start ${name}`)
}
