import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { directToMachines, hostProxy, proxyFor, proxyOfHost } from '../src/proxy.ts'
import { testCluster } from '../src/testing/index.ts'

const proxies = suite('HTTP proxies')
const proxy = 'http://proxy.lan:3128'

for (const [fact, url, environment, expected] of [
  ['no proxy is set', 'https://factory.talos.dev', {}, undefined],
  ['an empty variable is none', 'https://a.b', { HTTPS_PROXY: '' }, undefined],
  ['https goes through HTTPS_PROXY', 'https://a.b/c', { HTTPS_PROXY: proxy }, proxy],
  ['lower case wins', 'https://a.b', { https_proxy: proxy, HTTPS_PROXY: 'http://x:1' }, proxy],
  ['https does not go through HTTP_PROXY', 'https://a.b', { HTTP_PROXY: proxy }, undefined],
  ['http goes through HTTP_PROXY', 'http://a.b', { HTTP_PROXY: proxy }, proxy],
  [
    'a proxy without scheme is http',
    'http://a.b',
    { http_proxy: 'proxy:3128' },
    'http://proxy:3128',
  ],
  ['a name is exempt', 'http://a.lan', { http_proxy: proxy, NO_PROXY: 'x, a.lan' }, undefined],
  [
    'so are the names below it',
    'http://b.a.lan',
    { http_proxy: proxy, NO_PROXY: 'a.lan' },
    undefined,
  ],
  ['also after a dot', 'http://b.a.lan', { http_proxy: proxy, NO_PROXY: '.a.lan' }, undefined],
  ['and an asterisk', 'http://b.a.lan', { http_proxy: proxy, NO_PROXY: '*.a.lan' }, undefined],
  [
    'but no name that only ends like it',
    'http://ba.lan',
    { http_proxy: proxy, NO_PROXY: 'a.lan' },
    proxy,
  ],
  [
    'an address is exempt',
    'http://10.0.0.5:8080',
    { http_proxy: proxy, no_proxy: '10.0.0.5' },
    undefined,
  ],
  [
    'a network is exempt',
    'http://10.0.0.5',
    { http_proxy: proxy, NO_PROXY: '10.0.0.0/8' },
    undefined,
  ],
  [
    'another network is not',
    'http://11.0.0.5',
    { http_proxy: proxy, NO_PROXY: '10.0.0.0/8' },
    proxy,
  ],
  [
    'what is no network is ignored',
    'http://10.0.0.5',
    { http_proxy: proxy, NO_PROXY: '10/8' },
    proxy,
  ],
  [
    'an empty lower-case variable hides nothing',
    'http://a.lan',
    { http_proxy: '', HTTP_PROXY: proxy, no_proxy: '', NO_PROXY: 'b.lan' },
    proxy,
  ],
  [
    'and no exemption',
    'http://b.lan',
    { HTTP_PROXY: proxy, no_proxy: '', NO_PROXY: 'b.lan' },
    undefined,
  ],
  ['this machine is exempt', 'http://localhost:8080', { HTTP_PROXY: proxy }, undefined],
  ['by its address, too', 'http://127.0.0.1:8080', { HTTP_PROXY: proxy }, undefined],
  ['a port is compared', 'http://a.lan:81', { http_proxy: proxy, NO_PROXY: 'a.lan:80' }, proxy],
  ['and found', 'http://a.lan', { http_proxy: proxy, NO_PROXY: 'a.lan:80' }, undefined],
  ['everything is exempt', 'http://a.lan', { http_proxy: proxy, NO_PROXY: '*' }, undefined],
] as const)
  proxies(fact, () => assert.is(proxyFor(url, environment), expected))

proxies('without a proxy, programs keep their environment', () =>
  assert.equal(directToMachines(testCluster(), { NO_PROXY: 'a' }), {}),
)

proxies('behind a proxy, machines and the endpoint are asked directly', () => {
  const cluster = testCluster({ CLUSTER_ENDPOINT: 'api.home.lan' })
  const all = `localhost,.lan.example,${cluster.settings.NETWORK_CIDR},api.home.lan`
  const environment = { HTTPS_PROXY: proxy, NO_PROXY: 'localhost .lan.example' }
  assert.equal(directToMachines(cluster, environment), { NO_PROXY: all, no_proxy: all })
})

proxies('an endpoint that NO_PROXY exempts does not expose the machines to the proxy', () => {
  const cluster = testCluster({ CLUSTER_ENDPOINT: 'api.home.lan' })
  const environment = { HTTPS_PROXY: proxy, NO_PROXY: 'api.home.lan' }
  const all = `api.home.lan,${cluster.settings.NETWORK_CIDR}`
  assert.equal(directToMachines(cluster, environment), { NO_PROXY: all, no_proxy: all })
})

proxies('HOST_PROXY is for http and https, on every host', () => {
  const { settings } = testCluster({ HOST_PROXY: proxy })
  const used = { http_proxy: proxy, https_proxy: proxy, no_proxy: '' }
  for (const isLocal of [true, false]) {
    assert.equal(hostProxy(settings, { isLocal }, { HTTP_PROXY: 'http://x:1' }), used)
    assert.is(proxyOfHost('http://a.lan', settings, { isLocal }), proxy)
    assert.is(proxyOfHost('http://127.0.0.1:8080', settings, { isLocal }), proxy)
  }
})

proxies('a host that is this machine keeps its proxy when sudo drops it', () => {
  const { settings } = testCluster()
  const environment = { HTTPS_PROXY: proxy, no_proxy: 'a.lan', PATH: '/bin' }
  assert.equal(hostProxy(settings, { isLocal: true }, environment), {
    https_proxy: proxy,
    no_proxy: 'a.lan',
  })
  assert.equal(hostProxy(settings, { isLocal: false }, environment), {})
  const chosen = (url: string, isLocal: boolean): string | undefined =>
    proxyOfHost(url, settings, { isLocal }, environment)
  assert.is(chosen('https://b.lan', true), proxy)
  assert.is(chosen('https://a.lan', true), undefined)
  assert.is(chosen('http://b.lan', true), undefined)
  assert.is(chosen('https://b.lan', false), undefined)
})

proxies.run()
