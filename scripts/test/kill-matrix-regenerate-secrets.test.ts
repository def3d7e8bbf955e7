// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand(
  'regenerate-secrets',
  '127.77.5.0/24',
  'is completed after cluster:up, which never replaces secrets',
)
