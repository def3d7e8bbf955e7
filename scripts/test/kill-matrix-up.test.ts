// limit: 300 s
import { testCommand } from './support/world/matrix.ts'

await testCommand('up', '127.77.1.0/24', 'ends healthy when it is run again')
