// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'up without its control plane',
  '127.77.8.0/24',
  'never starts an empty etcd in the place of the one that is lost',
)
