// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'restore',
  '127.77.4.0/24',
  'is completed after cluster:up, which never starts an empty etcd',
)
