import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { silentLog, type Cluster } from '@talosmith/core'
import { problemOf, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listVersions, type RequestOptions } from '../../src/factory/index.ts'

const behindProxy = suite<{ proxy: Server; requested: string[]; port: number }>('behind a proxy')
const names = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']
const environment = process.env
const before = { ...environment }
const soon: RequestOptions = { log: silentLog, timeoutMs: 30_000, retryDelayMs: 5 }

const at = (url: string): Cluster => testCluster({ TALOS_FACTORY_URL: url })

behindProxy.before.each(async (context) => {
  for (const name of names) delete environment[name]
  context.requested = []
  context.proxy = createServer((request: IncomingMessage, response) => {
    context.requested.push(`${request.method} ${request.url}`)
    response.end('["v1.13.9"]')
  })
  // A tunnel to what cannot be reached: closed at once.
  context.proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    context.requested.push(`CONNECT ${request.url}`)
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  await new Promise<void>((resolve) => context.proxy.listen(0, '127.0.0.1', resolve))
  context.port = (context.proxy.address() as AddressInfo).port
})
behindProxy.after.each(({ proxy }) => {
  proxy.closeAllConnections()
  proxy.close()
  for (const name of names)
    if (before[name] === undefined) delete environment[name]
    else environment[name] = before[name]
})

behindProxy('a factory that only the proxy reaches answers', async ({ requested, port }) => {
  environment['HTTP_PROXY'] = `http://127.0.0.1:${port}`
  assert.equal(await listVersions(at('http://factory.invalid'), soon), ['v1.13.9'])
  assert.equal(requested, ['GET http://factory.invalid/versions'])
})

behindProxy('an https factory is requested through a tunnel', async ({ requested, port }) => {
  environment['https_proxy'] = `http://user:key@127.0.0.1:${port}`
  const failed = await problemOf(listVersions(at('https://factory.invalid'), soon))
  assert.is(failed.code, 'FACTORY_UNREACHABLE')
  assert.match(failed.because ?? '', `through the proxy http://...@127.0.0.1:${port}`)
  assert.is(requested[0], 'CONNECT factory.invalid:443')
})

behindProxy('a factory in NO_PROXY is requested directly', async ({ requested, port }) => {
  environment['HTTP_PROXY'] = 'http://proxy.invalid:3128'
  environment['NO_PROXY'] = '127.0.0.0/8'
  await listVersions(at(`http://127.0.0.1:${port}`), soon)
  assert.equal(requested, ['GET /versions'])
})

for (const wrong of ['socks5://me:key@127.0.0.1:1080', 'http://me:%zz@127.0.0.1:1080'])
  behindProxy(`${wrong.slice(0, 12)}... is refused once, without its password`, async () => {
    environment['http_proxy'] = wrong
    const retries: string[] = []
    const log = { ...silentLog, warn: (line: string) => retries.push(line) }
    const failed = await problemOf(listVersions(at('http://factory.invalid'), { ...soon, log }))
    assert.equal(retries, [])
    assert.is(failed.code, 'PROXY_INVALID')
    assert.not.match(JSON.stringify(failed), 'key')
    assert.match(failed.hint ?? '', 'SOCKS proxies are not supported')
  })

behindProxy.run()
