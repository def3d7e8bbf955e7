// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'destroy',
  '127.77.3.0/24',
  'is completed after cluster:up, which loses nothing that was not confirmed',
)
