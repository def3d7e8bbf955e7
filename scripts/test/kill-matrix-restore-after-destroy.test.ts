// limit: 600 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'restore after destroy',
  '127.77.7.0/24',
  'is completed by the command after cluster:up, also where machines were only defined',
)
