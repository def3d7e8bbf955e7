import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseDeprecatedApis, removedBy } from '../../src/upgrade/removed-apis.ts'

// As an API server reports it.
const metrics = `# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.32",resource="flowschemas",subresource="status",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="ipaddresses",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="x.io",removed_release="1.30",resource="things",subresource="",version="v1"} 0
apiserver_request_total{group="x.io",removed_release="1.30",resource="others",version="v1"} 4
`

test('APIs that are in use and will be removed are read; others are not', () => {
  assert.equal(parseDeprecatedApis(metrics), [
    { name: 'flowschemas/status.v1beta3.flowcontrol.apiserver.k8s.io', removedIn: '1.32' },
    { name: 'ipaddresses.v1beta1.networking.k8s.io', removedIn: '1.37' },
  ])
  assert.equal(parseDeprecatedApis(''), [])
})

for (const [version, names] of [
  ['v1.31.9', []],
  ['v1.32.0', ['a']],
  ['v1.36.3', ['a']],
  ['v1.37.0', ['a', 'b']],
] as const)
  test(`Kubernetes ${version} lacks the APIs removed until then, each listed once`, () => {
    const api = (name: string, removedIn: string) => ({ name, removedIn })
    const all = [api('a', '1.32'), api('b', '1.37'), api('a', '1.32')]
    assert.equal(
      removedBy(version, all).map(({ name }) => name),
      names,
    )
  })

test.run()
