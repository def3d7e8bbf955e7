/** How long Talos may take to answer, each limit with its reason. All in milliseconds. */

/** How long a look at Talos may take: the handshake with each machine, then each question. */
export interface Timeouts {
  readonly probeMs: number
  readonly askMs: number
}

/** Where a run can wait: a machine that boots, perhaps under emulation, has much to do. */
export const longTimeouts: Timeouts = { probeMs: 8000, askMs: 20_000 }

/** For cluster:status, which is there within ten seconds: both together have to be less. */
export const statusTimeouts: Timeouts = { probeMs: 2500, askMs: 4000 }

/** For cluster:diagnose: a machine that is short of processors answers late, yet within half a minute in all. */
export const diagnosisTimeouts: Timeouts = { probeMs: 2500, askMs: 9000 }

/** etcd lists neither members nor alarms without a quorum; a run that decides by them may wait for an election. */
export const etcdMs = 15_000

/** The same in a diagnosis, which asks twice, one after the other. */
export const diagnosisEtcdMs = 5000

/** Whether etcd runs and has data is known to Talos itself, which answers at once. */
export const etcdStateMs = 10_000

/** The end of a log, in a diagnosis, after everything else. */
export const logsMs = 5000

/** For the connection, which costs even a busy machine nothing: where no machine is, one looks again soon. */
export const connectMs = 2500

/** Work that asks no machine: making and checking configs. */
export const offlineMs = 60_000
