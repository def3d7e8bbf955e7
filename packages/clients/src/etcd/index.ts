export {
  leaderOf,
  parseAlarms,
  parseMemberStatus,
  type Alarm,
  type EtcdFacts,
  type MemberStatus,
} from './etcd-facts.ts'
export {
  askEtcd,
  etcdFault,
  etcdServiceFault,
  observeEtcd,
  parseEtcdMembers,
  parseEtcdStatus,
  type EtcdMember,
  type EtcdState,
  type EtcdStatus,
  type ObservedEtcd,
} from './etcd.ts'
