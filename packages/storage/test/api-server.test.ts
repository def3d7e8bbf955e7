/** Install, change and removal against a real API server; runs where its binary is in the tool cache. */
// limit: 300 s
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import {
  findTool,
  local,
  Problem,
  silentLog,
  type Change,
  type Cluster,
  type Log,
} from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite, test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  installStorage,
  observeStorage,
  openApi,
  openHelm,
  planInstall,
  describeProof,
  proveStorage,
  uninstallStorage,
} from '../src/index.ts'
import { checkChart } from '../src/chart.ts'
import { kubernetesOver, type VolumeObject } from '@talosmith/clients/kubernetes'
import {
  findKubelab,
  startApiServer,
  until,
  type ApiServer,
  type Json,
} from './support/api-server.ts'
import { pretendNodes, type PretendedNodes } from './support/nodes.ts'

const kubelab = await findKubelab()
/** The last is no machine of the settings. */
const nodes = ['home-cp1', 'home-w1', 'home-w2', 'home-w9']

if (kubelab === undefined) {
  test.skip('against a real API server: no kubelab in the tool cache, and KUBELAB not set')
  test.run()
} else {
  const real = suite('against a real API server')
  let server: ApiServer
  let pretended: PretendedNodes
  let root: string
  let repository: string
  let stopRepository: () => void

  real.before(async () => {
    root = temporaryFolder('root')
    server = await startApiServer(kubelab)
    pretended = await pretendNodes(server, nodes)
    await mkdir(join(root, 'generated', 'home'), { recursive: true })
    await copyFile(server.kubeconfig, join(root, 'generated', 'home', 'kubeconfig'))
    const charts = join(root, 'charts')
    const { path: helm } = await findTool('helm', cluster())
    const chart = join(import.meta.dirname, 'fixtures', 'csi-driver-nfs')
    for (const version of ['4.13.4', '4.13.3', 'v4.10.0'])
      await local.$`${helm} package ${chart} --version ${version} --destination ${charts}`
    await local.$`${helm} repo index ${charts}`
    const http = createServer((ask, answer) => {
      readFile(join(charts, ask.url ?? '')).then(
        (bytes) => answer.end(bytes),
        () => answer.writeHead(404).end(),
      )
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => http.once('listening', resolve))
    const address = http.address()
    repository = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
    stopRepository = () => http.close()
  })

  real.after(async () => {
    stopRepository?.()
    await pretended?.stop()
    await server?.stop()
  })

  function cluster(overrides: Record<string, string> = {}): Cluster {
    const settings = { NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata', HEALTH_TIMEOUT: '5m' }
    const chart = repository === undefined ? {} : { NFS_CSI_CHART: repository }
    return testCluster({ ...settings, ...chart, ...overrides }, root)
  }

  /** Runs a flow as a script would; the lines of its log, and the requests to the API and to helm. */
  async function run(
    flow: typeof installStorage,
    one: Cluster,
    dryRun = false,
    confirmed = false,
  ): Promise<{ lines: string[]; requests: string[]; plan: readonly Change[] }> {
    const lines: string[] = []
    const requests: string[] = []
    let plan: readonly Change[] = []
    const note = (text: string): void => void lines.push(text)
    const log: Log = {
      ...silentLog,
      info: note,
      already: note,
      warn: note,
      step: (text) => (note(text), silentLog.step(text)),
    }
    const real = await openApi(one)
    const kubernetes = kubernetesOver((request, options) => {
      requests.push(`${request.method} ${request.path}`)
      return real.ask(request, options)
    })
    const helm: ReturnType<typeof openHelm> = (args, input) => {
      requests.push(`helm ${args.join(' ')}`)
      return openHelm(one)(args, input)
    }
    const showPlan = (changes: readonly Change[]) => ((plan = changes), 2 as const)
    await flow({ cluster: one, log, dryRun, confirmed, showPlan, kubernetes, helm })
    return { lines, requests, plan }
  }

  async function refused(action: () => Promise<unknown>): Promise<Problem> {
    try {
      await action()
    } catch (error) {
      assert.instance(error, Problem, String(error))
      return error as Problem
    }
    throw new Error('was not refused')
  }

  /** Starts an install in a process of its own, and kills it a moment after a step began. */
  async function killedIn(step: string): Promise<void> {
    const program = join(import.meta.dirname, 'support', 'install.ts')
    const child = spawn(process.execPath, ['--import', 'tsx', program, root, repository], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let output = ''
    child.stderr.on('data', (part: Buffer) => {
      output += part.toString()
      if (output.includes(step)) setTimeout(() => child.kill('SIGKILL'), 250)
    })
    const [, signal] = await once(child, 'exit')
    assert.is(signal, 'SIGKILL', output)
  }

  const exists = async (path: string): Promise<boolean> =>
    (await server.api('GET', path)).status === 200
  const classPath = '/apis/storage.k8s.io/v1/storageclasses/nfs-appdata'
  const controllerPath = '/apis/apps/v1/namespaces/kube-system/deployments/csi-nfs-controller'
  const nodeDriverPath = '/apis/apps/v1/namespaces/kube-system/daemonsets/csi-nfs-node'
  const recordsPath =
    '/api/v1/namespaces/kube-system/secrets?labelSelector=owner%3Dhelm%2Cname%3Dcsi-driver-nfs'

  real('an unknown chart version is refused before anything changes', async () => {
    const problem = await refused(() => run(installStorage, cluster({ NFS_CSI_VERSION: '9.9.9' })))
    assert.is(problem.code, 'CHART_VERSION_UNKNOWN', problem.because)
    assert.not(await exists(controllerPath))
  })

  real('a chart repository that is none is refused before anything changes', async () => {
    const wrong = cluster({ NFS_CSI_CHART: `${repository}/nowhere` })
    assert.is((await refused(() => run(installStorage, wrong))).code, 'CHART_NOT_FOUND')
  })

  real('an unreachable server is refused before the driver is installed', async () => {
    pretended.failures.pods.set('home-w2', 'nc: 10.0.0.5 (10.0.0.5:2049): Connection refused')
    const problem = await refused(() => run(installStorage, cluster()))
    pretended.failures.pods.clear()
    assert.is(problem.code, 'NFS_REFUSED')
    assert.match(problem.message, 'home-w2')
    assert.not(await exists(controllerPath))
  })

  real(
    'installs the release and the class, and proves them on the machines of the settings',
    async () => {
      for (const pod of ['home-w9', 'reader-home-w9'])
        pretended.failures.pods.set(pod, 'permanently switched off')
      const { lines } = await run(installStorage, cluster())
      pretended.failures.pods.clear()
      assert.match(
        lines.join('\n'),
        /Storage works: a claim on 10\.0\.0\.5:\/srv\/appdata was bound in .*pods that do not run as root can write/,
      )
      const { body } = await server.api('GET', classPath)
      assert.is(body['reclaimPolicy'], 'Retain')
      assert.is(body['volumeBindingMode'], 'Immediate')
      assert.is(body['allowVolumeExpansion'], true)
      assert.equal(body['mountOptions'], ['nfsvers=4.1'])
      const controller = await server.api('GET', controllerPath)
      assert.is((controller.body['spec'] as Json)['replicas'], 2)
    },
  )

  real('a second install changes nothing, and starts no helm', async () => {
    const before = await server.api('GET', classPath)
    const started = performance.now()
    const { requests, lines } = await run(installStorage, cluster())
    console.log(`(no-op install: ${Math.round(performance.now() - started)} ms)`)
    assert.ok(
      requests.every((command) => command.startsWith('GET ')),
      requests.join('\n'),
    )
    assert.is(requests.length, 5)
    assert.match(lines.join('\n'), 'match the settings')
    assert.equal((await server.api('GET', classPath)).body, before.body)
  })

  real('nothing of a test is left', async () => {
    const volumes = await server.api('GET', '/api/v1/persistentvolumes')
    const names = (volumes.body['items'] as Json[]).map(
      (item) => (item['metadata'] as Json)['name'],
    )
    assert.equal(
      names.filter((name) => !String(name).endsWith('-export')),
      [],
    )
  })

  real(
    'a changed mount option replaces the class and reports what happens to volumes',
    async () => {
      const changed = cluster({ NFS_MOUNT_OPTIONS: 'nfsvers=4.2,hard' })
      const { plan } = await run(installStorage, changed, true)
      const replace = plan.find(({ kind }) => kind === 'replace-storage-class')
      assert.match(replace?.summary ?? '', 'existing volumes keep their old options')
      const { requests } = await run(installStorage, changed)
      assert.not(requests.some((command) => command.startsWith('helm')))
      assert.equal((await server.api('GET', classPath)).body['mountOptions'], [
        'nfsvers=4.2',
        'hard',
      ])
      assert.is((await run(installStorage, changed)).requests.length, 5)
    },
  )

  real(
    'a default class whose replacement is killed midway is the default class again',
    async () => {
      const changed = cluster({ NFS_MOUNT_OPTIONS: 'nfsvers=4.1,hard' })
      const annotation = 'storageclass.kubernetes.io/is-default-class'
      const setDefault = (value: string | null) =>
        server.api('PATCH', classPath, { metadata: { annotations: { [annotation]: value } } })
      await setDefault('true')
      const api = await openApi(changed)
      let isKilled = false
      const dying = kubernetesOver(async (request, options) => {
        if (isKilled) throw new Error('killed')
        isKilled = request.method === 'DELETE' && request.path === classPath
        return api.ask(request, options)
      })
      const flow: typeof installStorage = (context) =>
        installStorage({ ...context, kubernetes: dying })
      await run(flow, changed).catch(() => undefined)
      assert.not(await exists(classPath))
      await run(installStorage, changed)
      const { storageClass, wasDefault } = await observeStorage(api)
      assert.is(storageClass?.isDefault, true)
      assert.is(wasDefault, undefined)
      assert.is((await run(installStorage, changed)).requests.length, 5)
      await setDefault(null)
    },
  )

  real('another version is a change of the release, both spellings are one', async () => {
    const older = cluster({ NFS_CSI_VERSION: '4.13.3' })
    const { lines } = await run(installStorage, older)
    assert.ok(lines.includes('Change the NFS driver to 4.13.3'), lines.join('\n'))
    const spelt = cluster({ NFS_CSI_VERSION: 'v4.13.3' })
    assert.is((await run(installStorage, spelt)).requests.length, 5)
    const prefixed = cluster({ NFS_CSI_VERSION: '4.10.0' })
    await checkChart(prefixed, openHelm(prefixed))
  })

  real('a driver that does not get ready is named, and awaited by the next run', async () => {
    const older = cluster({ NFS_CSI_VERSION: '4.13.3', HEALTH_TIMEOUT: '3s' })
    await server.api('DELETE', controllerPath)
    pretended.failures.driverDown = true
    const problem = await refused(() => run(installStorage, older))
    delete pretended.failures.driverDown
    assert.is(problem.code, 'PROVISIONER_NOT_RUNNING')
    assert.match(problem.because ?? '', 'csi-nfs-controller: 0 of 2 ready')
    await run(installStorage, cluster({ NFS_CSI_VERSION: '4.13.3' }))
    assert.is((await run(installStorage, older)).requests.length, 5)
  })

  for (const path of [controllerPath, nodeDriverPath])
    real(`a deleted ${path.split('/').at(-1)} is planned and brought back`, async () => {
      const older = cluster({ NFS_CSI_VERSION: '4.13.3' })
      await server.api('DELETE', path)
      const { plan } = await run(installStorage, older, true)
      assert.ok(plan.some(({ kind }) => kind === 'install-release'))
      await run(installStorage, older)
      assert.ok(await exists(path))
      assert.is((await run(installStorage, older)).requests.length, 5)
    })

  real('a helm killed half-way is cleared away and finished', async () => {
    const one = cluster()
    const kubernetes = await openApi(one)
    // What a killed helm leaves: the newest record is pending-upgrade, long ago.
    const path = '/api/v1/namespaces/kube-system/secrets'
    const { body } = await server.api(
      'GET',
      `${path}?labelSelector=owner%3Dhelm%2Cstatus%3Ddeployed`,
    )
    const [secret] = body['items'] as unknown as {
      metadata: Record<string, unknown>
      data: { release: string }
    }[]
    if (secret === undefined) throw new Error('no record')
    const { gunzipSync, gzipSync } = await import('node:zlib')
    const text = Buffer.from(secret.data.release, 'base64').toString()
    const record = JSON.parse(gunzipSync(Buffer.from(text, 'base64')).toString())
    record.version += 1
    record.info.status = 'pending-upgrade'
    record.info.last_deployed = '2026-01-01T00:00:00Z'
    const packed = Buffer.from(gzipSync(JSON.stringify(record)).toString('base64')).toString(
      'base64',
    )
    const name = `sh.helm.release.v1.csi-driver-nfs.v${record.version}`
    const labels = {
      ...(secret.metadata['labels'] as Record<string, string>),
      status: 'pending-upgrade',
      version: String(record.version),
    }
    await server.api('POST', path, {
      metadata: { name, labels },
      type: 'helm.sh/release.v1',
      data: { release: packed },
    })
    const kinds = planInstall(one, await observeStorage(kubernetes)).map(({ kind }) => kind)
    assert.ok(kinds.includes('clear-release'), kinds.join())
    await run(installStorage, one)
    assert.is((await observeStorage(kubernetes)).release?.status, 'deployed')
    assert.is((await run(installStorage, one)).requests.length, 5)
  })

  real('a run that ended after any step is finished by the next', async () => {
    const one = cluster()
    await server.api('DELETE', classPath)
    const { requests } = await run(installStorage, one)
    assert.not(requests.some((command) => command.startsWith('helm')))
    const annotations = { 'talosmith.dev/proven': null }
    await server.api('PATCH', classPath, { metadata: { annotations } })
    const { lines } = await run(installStorage, one)
    assert.match(lines[0] ?? '', 'Prove storage')
    assert.is((await run(installStorage, one)).requests.length, 5)
  })

  for (const step of ['Check that every node', 'Install the NFS driver', 'Prove storage'])
    real(`a run killed in "${step}" is finished by the next`, async () => {
      await run(uninstallStorage, cluster())
      await killedIn(step)
      await run(installStorage, cluster())
      assert.is((await run(installStorage, cluster())).requests.length, 5)
      const spaces = (await server.api('GET', '/api/v1/namespaces')).body['items'] as Json[]
      const left = spaces
        .map((space) => space['metadata'] as Json)
        .filter((one) => String(one['name']).startsWith('talosmith-storage-'))
      assert.ok(left.every((one) => one['deletionTimestamp'] !== undefined))
    })

  real('a proof names why no claim is bound', async () => {
    pretended.failures.provisioning =
      'failed to provision volume: rpc error: code = Internal desc = failed to make subdirectory: mkdir /tmp/pvc-1/x: permission denied'
    const problem = await refused(async () =>
      proveStorage(cluster(), await openApi(cluster()), silentLog),
    )
    delete pretended.failures.provisioning
    assert.is(problem.code, 'NFS_NOT_WRITABLE')
    assert.match(problem.hint ?? '', 'no_root_squash')
  })

  real(
    'a server on which only root can write is a warning with its remedy, not a failure',
    async () => {
      pretended.failures.pods.set('user', "sh: can't create /claim/user: Permission denied")
      const warnings: string[] = []
      const log: Log = { ...silentLog, warn: (text) => void warnings.push(text) }
      const proof = await proveStorage(cluster(), await openApi(cluster()), log)
      assert.is(proof.writesAsUser, false)
      assert.is(warnings.length, 1)
      assert.match(warnings[0] ?? '', /^NFS_ROOT_ONLY: .*Permission denied.*no_root_squash.*=0777/)
      assert.match(describeProof(cluster(), proof), 'only pods that run as root can write')
      pretended.failures.pods.set('user', 'Killed')
      const problem = await refused(async () =>
        proveStorage(cluster(), await openApi(cluster()), log),
      )
      pretended.failures.pods.clear()
      assert.is(problem.code, 'STORAGE_TEST_FAILED')
    },
  )

  real('the API accepts expansion, and a refusal is named', async () => {
    await server.api('PATCH', classPath, { allowVolumeExpansion: false })
    const problem = await refused(async () =>
      proveStorage(cluster(), await openApi(cluster()), silentLog),
    )
    assert.is(problem.code, 'EXPANSION_REFUSED')
    const { plan } = await run(installStorage, cluster(), true)
    assert.ok(plan.some(({ kind }) => kind === 'update-storage-class'))
    await run(installStorage, cluster())
    assert.is((await server.api('GET', classPath)).body['allowVolumeExpansion'], true)
  })

  real('a class that is not ours is refused', async () => {
    const labels = { 'app.kubernetes.io/managed-by': null }
    await server.api('PATCH', classPath, { metadata: { labels } })
    assert.is((await refused(() => run(installStorage, cluster()))).code, 'STORAGE_CLASS_NOT_OURS')
    const back = { 'app.kubernetes.io/managed-by': 'talosmith' }
    await server.api('PATCH', classPath, { metadata: { labels: back } })
  })

  real('uninstall is refused while a claim is open, and lists it', async () => {
    await server.api('POST', '/api/v1/namespaces/default/persistentvolumeclaims', {
      metadata: { name: 'photos' },
      spec: {
        storageClassName: 'nfs-appdata',
        accessModes: ['ReadWriteMany'],
        resources: { requests: { storage: '1Gi' } },
      },
    })
    const problem = await refused(() => run(uninstallStorage, cluster()))
    assert.is(problem.code, 'CLAIMS_OPEN')
    assert.match(problem.because ?? '', 'default/photos')
    assert.ok(await exists(controllerPath))
  })

  real('clearing NFS_SERVER plans the removal, which claims refuse too', async () => {
    const cleared = cluster({ NFS_SERVER: '', NFS_SHARE: '' })
    const { plan } = await run(installStorage, cleared, true)
    assert.equal(
      plan.map(({ kind }) => kind),
      ['remove-storage-class', 'remove-release'],
    )
    assert.is((await refused(() => run(installStorage, cleared))).code, 'CLAIMS_OPEN')
  })

  real('without NFS_SERVER a driver that is not ours stays', async () => {
    const cleared = cluster({ NFS_SERVER: '', NFS_SHARE: '' })
    const label = async (value: string | null): Promise<void> => {
      const metadata = { labels: { 'app.kubernetes.io/managed-by': value } }
      const { body } = await server.api('GET', recordsPath)
      const records = (body['items'] as Json[]).map((record) => record['metadata'] as Json)
      for (const path of [
        classPath,
        ...records.map(({ name }) => `/api/v1/namespaces/kube-system/secrets/${String(name)}`),
      ])
        await server.api('PATCH', path, { metadata })
    }
    await label(null)
    const { lines, plan } = await run(installStorage, cleared)
    await label('talosmith')
    assert.equal(lines, ['no NFS_SERVER: no storage'])
    assert.equal(plan, [])
    assert.ok((await exists(controllerPath)) && (await exists(classPath)))
  })

  real(
    'CONFIRM removes class and release with what a killed proof left, and leaves volumes alone',
    async () => {
      const space = 'talosmith-storage-proof-0a1b2c'
      const theirs = 'talosmith-storage-photos'
      const labels = {
        'app.kubernetes.io/managed-by': 'talosmith',
        'talosmith.dev/storage-test': 'true',
      }
      await server.api('POST', '/api/v1/namespaces', { metadata: { name: space, labels } })
      await server.api('POST', '/api/v1/namespaces', { metadata: { name: theirs } })
      for (const namespace of [space, theirs])
        await server.api('POST', `/api/v1/namespaces/${namespace}/persistentvolumeclaims`, {
          metadata: { name: 'proof', ...(namespace === space ? { labels } : {}) },
          spec: {
            storageClassName: 'nfs-appdata',
            accessModes: ['ReadWriteMany'],
            resources: { requests: { storage: '1Mi' } },
          },
        })
      const left = async (): Promise<(string | undefined)[]> => {
        const { body } = await server.api('GET', '/api/v1/persistentvolumes')
        return (body['items'] as unknown as VolumeObject[]).map(
          ({ spec }) => spec?.claimRef?.namespace,
        )
      }
      await until(async () => {
        const namespaces = await left()
        return namespaces.includes(space) && namespaces.includes(theirs)
      }, 20_000)
      const removal = await run(uninstallStorage, cluster(), false, true)
      assert.not((await left()).includes(space), removal.lines.join('\n'))
      assert.ok((await left()).includes(theirs))
      await server.api('DELETE', `/api/v1/namespaces/${theirs}`)
      await until(async () => !(await exists(`/api/v1/namespaces/${space}`)), 20_000)
      assert.not(await exists(classPath))
      assert.not(await exists(controllerPath))
      const volumes = await server.api('GET', '/api/v1/persistentvolumes')
      assert.is((volumes.body['items'] as Json[]).length, 2)
      const { lines } = await run(uninstallStorage, cluster())
      assert.equal(lines, ['no storage to remove'])
      const cleared = cluster({ NFS_SERVER: '', NFS_SHARE: '' })
      const nothing = await run(installStorage, cleared)
      assert.equal(nothing.lines, ['no NFS_SERVER: no storage'])
      assert.ok(nothing.requests.every((command) => command.startsWith('GET ')))
    },
  )

  real.run()
}
