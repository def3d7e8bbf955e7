/**
 * cluster:status of a cluster on loopback addresses, for status-down.test.ts: settings of a real env file can't
 * have them. The settings are the JSON in the first argument; the status is printed as JSON.
 */
import { openHost, projectRoot, silentLog, type Host } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import status from '../status.ts'

const settings = JSON.parse(process.argv[2] ?? '{}') as Record<string, string>
const cluster = testCluster(settings, projectRoot)
let opening: readonly Promise<Host>[] | undefined
const eachHost = (): readonly Promise<Host>[] =>
  (opening ??= cluster.settings.LIBVIRT_URI.map((uri) => openHost(uri, projectRoot)))
await status.run({
  cluster,
  eachHost,
  hosts: () => Promise.all(eachHost()),
  log: silentLog,
  options: {},
  dryRun: false,
  json: true,
  confirmed: false,
  confirm: () => undefined,
  answer: (value) => console.log(JSON.stringify(value)),
  showPlan: () => 0,
  signal: new AbortController().signal,
})
// oxlint-disable-next-line unicorn/no-process-exit -- as the script itself, which waits for no connection to close
process.exit()
