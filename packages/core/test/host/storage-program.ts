/** Looks at files on storage that does not answer, for storage.test.ts; prints the Problem as JSON. */
import { openHost } from '../../src/host/open.ts'
import { onStorage } from '../../src/host/storage.ts'
import type { Problem } from '../../src/problem.ts'

const [folder = ''] = process.argv.slice(2)
const host = await openHost('qemu:///system', '/')
const places = [
  { what: 'the pool tank', folder: '/' },
  { what: 'the folder of seed ISOs', folder },
]
try {
  await onStorage(host, places, (options) => host.$(options)`stat ${`${folder}/disk`}`, {
    probeAfterMs: 500,
    answerS: 2,
  })
} catch (error) {
  const { code, message, because, hint } = error as Problem
  console.log(JSON.stringify({ code, message, because, hint }))
}
await host.close()
