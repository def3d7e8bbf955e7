/** A transfer as a separate process, so that tests can kill it: <root> <factory> <path>. */
import { createLog, local } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { transferImage } from '../src/transfer.ts'
import { shortTimeouts } from './support.ts'

const [root = '', factory = '', path = ''] = process.argv.slice(2)
try {
  await transferImage(path, {
    cluster: testCluster({ TALOS_FACTORY_URL: factory }, root),
    host: local,
    log: createLog(),
    signal: new AbortController().signal,
    progress: (text) => console.log(text),
    timeouts: shortTimeouts,
  })
} catch (error) {
  console.log(error)
  process.exitCode = 1
}
