// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'upgrade that hangs',
  '127.77.11.0/24',
  'has its machine return to the previous version, and refuses the version from then on',
)
