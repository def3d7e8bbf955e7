import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const module = fileURLToPath(new URL('../src/testing/temporary-folder.ts', import.meta.url))

test('temporary folders exist until the process ends, also when it fails', () => {
  const code = `import { temporaryFolder } from ${JSON.stringify(module)}
import { existsSync, writeFileSync } from 'node:fs'
const folders = [temporaryFolder('first'), temporaryFolder('second')]
writeFileSync(folders[1] + '/file', '')
console.log(JSON.stringify({ folders, there: folders.map((one) => existsSync(one)) }))
throw new Error('failed')`
  const args = ['--import', 'tsx', '--input-type=module', '--eval', code]
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const { folders, there } = JSON.parse(stdout) as { folders: string[]; there: boolean[] }
  assert.is(status, 1)
  assert.equal(there, [true, true])
  assert.equal(folders.map(existsSync), [false, false])
})

test.run()
