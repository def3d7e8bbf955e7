/** Observes and judges etcd. */
export {
  etcdStatusQuestion,
  leaderOf,
  memberOf,
  parseEtcdAlarms,
  parseEtcdMembers,
  parseEtcdStatus,
  type EtcdFacts,
  type EtcdStatus,
} from './etcd-facts.ts'
export {
  etcdServiceProblem,
  mayRunEtcd,
  observeEtcdState,
  observeEtcdElsewhere,
  type EtcdState,
  type OtherEtcd,
} from './etcd-state.ts'
export { judgeEtcd, type EtcdProblem } from './judge-etcd.ts'
export { observeEtcdFacts } from './observe-etcd.ts'
