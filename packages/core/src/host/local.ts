/** This machine as a host. */
import { localTransport } from '../process/local-transport.ts'
import { runner } from '../process/run.ts'
import { hostOver } from './files.ts'
import type { Host } from './host.ts'

/** This machine; commands run as the current user. */
export const local: Host = hostOver(runner('this machine', localTransport), {
  name: 'this machine',
  isLocal: true,
  close: async () => undefined,
})
