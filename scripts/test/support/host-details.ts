/** A host on which the doctor finds nothing wrong. */
import type { HostDetails } from '@talosmith/vm'

export const hostDetails: HostDetails = {
  user: 'root',
  groups: ['root'],
  missingPrograms: [],
  missingCpuFlags: [],
  isNested: false,
  bridge: { isUp: true },
  filter: { seesBridged: false, policy: 'ACCEPT', rules: [] },
  addresses: ['10.0.0.2/24'],
  bootId: 'one',
  macs: ['52:54:00:aa:00:01'],
  confinement: [],
}
