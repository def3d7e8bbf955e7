// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'upgrade',
  '127.77.2.0/24',
  'is continued after cluster:up, which keeps the cluster and its data',
)
