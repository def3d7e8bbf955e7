import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { silentLog, type Cluster, type Problem } from '@talosmith/core'
import { problemOf, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  checkOffer,
  fetchChecksum,
  listExtensions,
  nearestVersion,
  observeFactory,
  postSchematic,
  refuseMissingExtensions,
  tryWarmInstaller,
  warmInstaller,
  type RequestOptions,
} from '../../src/factory/index.ts'

const factory = suite<{ server: Server; answer: RequestListener; cluster: Cluster }>('the factory')
const extensions = 'siderolabs/qemu-guest-agent'
const soon: RequestOptions = { log: silentLog, timeoutMs: 300, retryDelayMs: 5 }
/** For tests that count requests, whatever else this machine does. */
const patient: RequestOptions = { ...soon, timeoutMs: 30_000 }

factory.before.each(async (context) => {
  context.server = createServer((request, response) => context.answer(request, response))
  await new Promise<void>((resolve) => context.server.listen(0, '127.0.0.1', resolve))
  const { port } = context.server.address() as AddressInfo
  context.cluster = testCluster({
    TALOS_FACTORY_URL: `http://127.0.0.1:${port}`,
    TALOS_EXTENSIONS: extensions,
  })
})
factory.after.each(({ server }) => {
  server.closeAllConnections()
  server.close()
})

/** A factory that behaves; `known`: whether it knows the schematic. */
const behaving =
  (known: boolean): RequestListener =>
  ({ url = '' }, response) => {
    if (url === '/versions') response.end('["v1.12.11","v1.13.8","v1.13.9","v1.14.0-rc.1"]')
    else if (url.includes('/extensions/')) response.end(`[{"name":"${extensions}"}]`)
    else response.writeHead(known ? 200 : 404).end()
  }

factory('lists what it offers', async (context) => {
  context.answer = behaving(true)
  const offer = await observeFactory(context.cluster, soon)
  assert.is(offer.hasSchematic, true)
  checkOffer(context.cluster, offer)
})

factory('an unknown version is refused with the nearest one', async (context) => {
  context.answer = behaving(false)
  const cluster = testCluster({
    TALOS_FACTORY_URL: context.cluster.settings.TALOS_FACTORY_URL,
    TALOS_VERSION: 'v1.13.99',
  })
  const offer = await observeFactory(cluster, soon)
  try {
    checkOffer(cluster, offer)
    assert.unreachable()
  } catch (error) {
    assert.is((error as Problem).code, 'TALOS_VERSION_NOT_OFFERED')
    assert.match((error as Problem).hint ?? '', 'TALOS_VERSION=v1.13.9')
  }
})

factory('unknown extensions are refused all at once, with what was meant', async (context) => {
  context.answer = behaving(false)
  const cluster = testCluster({
    TALOS_FACTORY_URL: context.cluster.settings.TALOS_FACTORY_URL,
    TALOS_EXTENSIONS: 'siderolabs/qemu-gest-agent,siderolabs/teapot',
  })
  try {
    checkOffer(cluster, await observeFactory(cluster, soon))
    assert.unreachable()
  } catch (error) {
    assert.is((error as Problem).code, 'EXTENSION_NOT_OFFERED')
    assert.match((error as Problem).because ?? '', 'did you mean siderolabs/qemu-guest-agent?')
    assert.match((error as Problem).because ?? '', 'siderolabs/teapot')
    assert.match((error as Problem).message, 'siderolabs/qemu-gest-agent, siderolabs/teapot')
  }
})

for (const [written, meant] of [
  ['sidero/qemu-guest-agent', 'siderolabs/qemu-guest-agent'],
  ['ghcr/qemu-gest-agent', 'siderolabs/qemu-guest-agent'],
  ['siderolabs/qemu-guest-agnt', 'siderolabs/qemu-guest-agent'],
] as const)
  factory(`for ${written} the nearest extension is named`, () => {
    const { settings } = testCluster({ TALOS_EXTENSIONS: written })
    try {
      refuseMissingExtensions(settings, 'v1.13.9', ['siderolabs/iscsi-tools', meant])
      assert.unreachable()
    } catch (error) {
      assert.is((error as Problem).because, `${written}: did you mean ${meant}?`)
    }
  })

factory('a port that fetch never connects to is explained', async () => {
  const cluster = testCluster({ TALOS_FACTORY_URL: 'http://127.0.0.1:6667' })
  const { code, because } = await problemOf(postSchematic(cluster, { ...soon, retryDelayMs: 1 }))
  assert.is(code, 'FACTORY_UNREACHABLE')
  assert.match(because ?? '', 'serve it on another port')
  assert.not.match(because ?? '', 'bad port')
})

for (const status of [408, 429, 503])
  factory(`a passing failure, status ${status}, is tried again`, async (context) => {
    let requests = 0
    context.answer = (request, response) =>
      ++requests <= 3
        ? response.writeHead(status).end('not ready')
        : behaving(true)(request, response)
    assert.is((await observeFactory(context.cluster, soon)).hasSchematic, true)
  })

factory('a lasting failure is told in the words of the factory', async (context) => {
  context.answer = (_, response) => response.writeHead(500).end('internal server error')
  const problem = await problemOf(postSchematic(context.cluster, soon))
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'internal server error')
})

factory('a refusal is not tried again', async (context) => {
  let requests = 0
  context.answer = (_, response) => response.writeHead(400).end(`no ${++requests}`)
  assert.is((await problemOf(postSchematic(context.cluster, soon))).code, 'FACTORY_ERROR')
  assert.is(requests, 1)
})

factory('an ID other than ours is refused with both', async (context) => {
  context.answer = (_, response) => response.writeHead(201).end('{"id":"0000"}')
  const problem = await problemOf(postSchematic(context.cluster, soon))
  assert.is(problem.code, 'SCHEMATIC_ID_DIFFERS')
  assert.match(problem.because ?? '', context.cluster.schematic.id)
})

factory('a factory that does not answer is reported with its address', async (context) => {
  context.server.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const problem = await problemOf(postSchematic(context.cluster, soon))
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.because ?? '', 'ECONNREFUSED')
})

factory('an answer that stalls is named, after several tries', async (context) => {
  let requests = 0
  context.answer = () => void requests++
  const problem = await problemOf(postSchematic(context.cluster, soon))
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.because ?? '', 'no answer within 0.3 s')
  assert.is(requests, 4)
})

factory('an answer that is cut short is requested again', async (context) => {
  let requests = 0
  context.answer = (request, response) => {
    if (++requests > 3) return behaving(true)(request, response)
    response.writeHead(200, { 'content-length': 100 })
    response.write('["v1', () => response.destroy())
  }
  checkOffer(context.cluster, await observeFactory(context.cluster, soon))
})

factory('a server that is no Image Factory is recognized by its answer', async (context) => {
  context.answer = (_, response) => response.end('<html>Please log in</html>')
  const problem = await problemOf(observeFactory(context.cluster, soon))
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'Please log in')
})

factory('a posted schematic is sent byte for byte', async (context) => {
  let body = ''
  context.answer = (request, response) => {
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () =>
      response.writeHead(201).end(JSON.stringify({ id: context.cluster.schematic.id })),
    )
  }
  await postSchematic(context.cluster, soon)
  assert.is(body, context.cluster.schematic.body)
})

const offered = ['v1.12.11', 'v1.13.8', 'v1.13.9', 'v1.14.0-rc.1']
for (const [wanted, near] of Object.entries({
  'v1.13.99': 'v1.13.9',
  'v1.12.0': 'v1.12.11',
  'v1.14.0': 'v1.14.0-rc.1',
  'v1.15.0': 'v1.13.9',
  'v1.9.0': 'v1.12.11',
}))
  factory(`nearest to ${wanted} is ${near}`, () => {
    assert.is(nearestVersion(wanted, offered), near)
  })

factory('of no versions none is near', () => {
  assert.is(nearestVersion('v1.13.9', []), undefined)
})

factory('has no extensions for a version that it does not have', async (context) => {
  context.answer = (_, response) => response.writeHead(404).end('no such version')
  assert.equal(await listExtensions(context.cluster, 'v1.13.99', soon), [])
})

factory(
  'has a checksum where it offers one; a page that is none is not taken for it',
  async (context) => {
    const sum = 'a1'.repeat(32)
    const url = `${context.cluster.settings.TALOS_FACTORY_URL}/image.raw.zst`
    const answers: (readonly [number, string])[] = [
      [200, `${sum}  image.raw.zst\n`],
      [200, '<html>Please log in</html>'],
      [402, 'enterprise not enabled'],
    ]
    context.answer = (request, response) => {
      assert.is(request.url, '/image.raw.zst.sha256')
      const [status, text] = answers.shift() ?? [500, '']
      response.writeHead(status).end(text)
    }
    assert.is(await fetchChecksum(url, soon), sum)
    assert.is(await fetchChecksum(url, soon), '')
    assert.is(await fetchChecksum(url, soon), '')
  },
)

factory('is queried for the installer of the schematic, until it has built it', async (context) => {
  const urls: string[] = []
  context.answer = ({ url = '' }, response) => {
    urls.push(url)
    response.writeHead(urls.length < 2 ? 503 : 200).end('{}')
  }
  await warmInstaller(context.cluster, 'v1.13.9', patient)
  const { id } = context.cluster.schematic
  assert.equal(urls, Array(2).fill(`/v2/nocloud-installer/${id}/manifests/v1.13.9`))
})

factory(
  'has built an installer when it redirects to its registry, which is not asked',
  async (context) => {
    const requests: string[] = []
    context.answer = ({ url = '', headers }, response) => {
      requests.push(url)
      assert.is(headers.accept?.split(', ').length, 4)
      assert.match(headers.accept ?? '', 'application/vnd.oci.image.index.v1+json')
      // The registry behind it demands a token.
      if (url.startsWith('/v2/registry/')) response.writeHead(401).end()
      else response.writeHead(307, { location: '/v2/registry/manifests/sha256:0' }).end()
    }
    await warmInstaller(context.cluster, 'v1.13.9', patient)
    assert.is(requests.length, 1)
  },
)

factory(
  'that rejects the request for an installer itself would reject the machines',
  async (context) => {
    const text = 'error enhancing profile from schematic: official extension "a/b" is not available'
    let requests = 0
    context.answer = (_, response) => ((requests += 1), response.writeHead(400).end(text))
    const warnings: string[] = []
    const log = { ...silentLog, warn: (line: string) => warnings.push(line) }
    const tried = tryWarmInstaller(context.cluster, 'v1.13.9', { ...patient, log })
    const { code, because, now } = await problemOf(tried)
    assert.equal([code, because, now], ['FACTORY_ERROR', text, 'nothing was changed'])
    assert.equal([requests, warnings], [1, []])
  },
)

for (const [status, text] of [
  [301, 'Moved Permanently'],
  [401, '{"errors":[{"code":"UNAUTHORIZED"}]}'],
  [403, 'access denied'],
  [404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'],
  [404, 'version v1.13.9 is not available'],
  [500, 'internal server error'],
  [503, 'backend not ready'],
] as const)
  factory(
    `that answers ${status} for an installer (${text}) is a warning with its reason`,
    async (context) => {
      context.answer = (_, response) => response.writeHead(status).end(text)
      const warnings: string[] = []
      const log = { ...silentLog, warn: (line: string) => warnings.push(line) }
      await tryWarmInstaller(context.cluster, 'v1.13.9', { ...patient, log })
      assert.match(warnings.at(-1) ?? '', `answered ${status}`)
      assert.match(warnings.at(-1) ?? '', text)
      assert.match(
        (await problemOf(warmInstaller(context.cluster, 'v1.13.9', patient))).code,
        'FACTORY_ERROR',
      )
    },
  )

factory('accepts the former name of an extension, where the factory has the new one', () => {
  const { settings } = testCluster({ TALOS_EXTENSIONS: 'siderolabs/i915-ucode' })
  refuseMissingExtensions(settings, 'v1.13.9', ['siderolabs/i915'])
  refuseMissingExtensions(settings, 'v1.9.5', ['siderolabs/i915-ucode'])
  assert.throws(
    () => refuseMissingExtensions(settings, 'v1.13.9', ['siderolabs/amdgpu']),
    (error: Problem) => error.code === 'EXTENSION_NOT_OFFERED',
  )
})

factory.run()
