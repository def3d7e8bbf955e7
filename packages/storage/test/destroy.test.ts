import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkConfirm, CommandFailed, Problem, silentLog, type Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { destroyStorage, observeRemoval } from '../src/destroy.ts'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { oursLabel } from '../src/names.ts'
import { fakeApi } from './support/fake-api.ts'

const destroy = suite<{ cluster: Cluster }>('storage of a cluster that is destroyed')
destroy.before.each((context) => {
  context.cluster = testCluster({}, temporaryFolder('storage'))
  mkdirSync(context.cluster.generated, { recursive: true })
  writeFileSync(join(context.cluster.generated, 'kubeconfig'), '')
})

/** A cluster with our class, whose API fails with the error that `fails` returns; records its requests. */
function fake(fails: (words: string) => Error | undefined = () => undefined, isOurs = true) {
  return fakeApi((path, method) => {
    const error = fails(`${method} ${path}`)
    if (error !== undefined) throw error
    if (path === '/version') return {}
    const metadata = { name: 'nfs-appdata', ...(isOurs ? { labels: oursLabel } : {}) }
    return path.endsWith('/storageclasses/nfs-appdata') ? { metadata } : undefined
  })
}

/** Runs the flow; what it warned of. */
async function run(
  cluster: Cluster,
  kubernetes: Kubernetes,
  confirmation?: string,
): Promise<string> {
  const warned: string[] = []
  const code = await destroyStorage({
    cluster,
    kubernetes,
    log: { ...silentLog, warn: (text) => warned.push(text) },
    dryRun: false,
    confirmed: confirmation === cluster.name,
    confirm: (changes) => checkConfirm(cluster, confirmation, changes),
    showPlan: () => 2,
  })
  assert.is(code, 0)
  return warned.join('\n')
}

destroy('is not removed without CONFIRM', async ({ cluster }) => {
  const { kubernetes, requests } = fake()
  assert.is((await problemOf(run(cluster, kubernetes))).code, 'CONFIRM_MISSING')
  assert.not.ok(requests.some((words) => words.startsWith('DELETE')))
})

destroy('is removed without checking its claims', async ({ cluster }) => {
  const { kubernetes, requests } = fake()
  assert.is(await run(cluster, kubernetes, 'home'), '')
  assert.ok(requests.includes('DELETE /apis/storage.k8s.io/v1/storageclasses/nfs-appdata'))
  assert.not.ok(requests.some((words) => words.includes('persistentvolumeclaims')))
})

destroy('that is not ours stays', async ({ cluster }) => {
  const { changes } = await observeRemoval({
    cluster,
    kubernetes: fake(undefined, false).kubernetes,
  })
  assert.equal(changes, [])
})

for (const code of ['API_NOT_OURS', 'KUBERNETES_UNREACHABLE', 'KUBERNETES_REFUSED', 'NOT_STARTED'])
  destroy(
    `${code} leaves storage to be deleted with the machines, with a warning`,
    async ({ cluster }) => {
      const problem = new Problem(code, 'it does not work')
      const { kubernetes, requests } = fake(() => problem)
      assert.match(
        await run(cluster, kubernetes, 'home'),
        /^it does not work: .*data on the NFS server stays$/,
      )
      assert.is(requests.length, 1, 'an unreachable cluster gets one request only')
    },
  )

destroy('a removal that fails half-way leaves the rest to the machines', async ({ cluster }) => {
  const problem = new Problem('KUBERNETES_REFUSED', 'the API refused')
  const { kubernetes } = fake((words) => (words.startsWith('DELETE') ? problem : undefined))
  assert.match(await run(cluster, kubernetes, 'home'), /^the API refused: /)
})

destroy('what is no expected failure is not passed over', async ({ cluster }) => {
  const output = { stdout: '', stderr: 'odd', exitCode: 1 }
  const { kubernetes } = fake(() => new CommandFailed('this machine', 'kubectl', output))
  const problem = await problemOf(run(cluster, kubernetes, 'home'))
  assert.instance(problem, CommandFailed)
})

destroy('without a kubeconfig no request is sent', async ({ cluster }) => {
  rmSync(join(cluster.generated, 'kubeconfig'))
  const { kubernetes, requests } = fake()
  assert.is(await run(cluster, kubernetes), '')
  assert.equal(requests, [])
})

destroy.run()
