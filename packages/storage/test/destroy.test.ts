import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkConfirm, CommandFailed, Problem, silentLog, type Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { destroyStorage, observeRemoval } from '../src/destroy.ts'
import type { KubeObject, Kubernetes } from '../src/kubernetes.ts'
import { oursLabel } from '../src/names.ts'

const destroy = suite<{ cluster: Cluster }>('storage of a cluster that goes whole')
destroy.before.each((context) => {
  context.cluster = testCluster({}, temporaryFolder('storage'))
  mkdirSync(context.cluster.generated, { recursive: true })
  writeFileSync(join(context.cluster.generated, 'kubeconfig'), '')
})

/** A cluster with our class, whose kubectl fails where `fails` says so; remembers what it was asked. */
function fake(fails: (words: string) => Error | undefined = () => undefined, isOurs = true) {
  const asked: string[] = []
  const run = async (args: readonly string[]): Promise<string> => {
    const words = args.join(' ')
    asked.push(words)
    const error = fails(words)
    if (error !== undefined) throw error
    return ''
  }
  const kubernetes: Kubernetes = {
    kubectl: run,
    async get<T extends KubeObject>(args: readonly string[]): Promise<T[]> {
      await run(['get', ...args])
      const metadata = { name: 'nfs-appdata', ...(isOurs ? { labels: oursLabel } : {}) }
      const found: KubeObject[] = args[0] === 'secrets' ? [] : [{ kind: 'StorageClass', metadata }]
      return found as T[]
    },
    apply: async () => undefined,
    helm: run,
  }
  return { kubernetes, asked }
}

/** Runs the flow; what it warned of. */
async function run(cluster: Cluster, kubernetes: Kubernetes, said?: string): Promise<string> {
  const warned: string[] = []
  const code = await destroyStorage({
    cluster,
    kubernetes,
    log: { ...silentLog, warn: (text) => warned.push(text) },
    dryRun: false,
    confirmed: said === cluster.name,
    confirm: (changes) => checkConfirm(cluster, said, changes),
    showPlan: () => 2,
  })
  assert.is(code, 0)
  return warned.join('\n')
}

destroy('is not asked for before CONFIRM', async ({ cluster }) => {
  const { kubernetes, asked } = fake()
  assert.is((await problemOf(run(cluster, kubernetes))).code, 'CONFIRM_MISSING')
  assert.not.ok(asked.some((words) => words.startsWith('delete')))
})

destroy('goes without a look at its claims', async ({ cluster }) => {
  const { kubernetes, asked } = fake()
  assert.is(await run(cluster, kubernetes, 'home'), '')
  assert.ok(asked.includes('delete storageclass/nfs-appdata --ignore-not-found'))
  assert.not.ok(asked.some((words) => words.includes('persistentvolumeclaims')))
})

destroy('that is not ours stays', async ({ cluster }) => {
  const { changes } = await observeRemoval({
    cluster,
    kubernetes: fake(undefined, false).kubernetes,
  })
  assert.equal(changes, [])
})

for (const code of ['KUBERNETES_UNREACHABLE', 'KUBECTL_FAILED', 'TOOL_MISSING'])
  destroy(`${code} leaves it to the machines, and says so`, async ({ cluster }) => {
    const problem = new Problem(code, 'it does not work')
    const { kubernetes, asked } = fake(() => problem)
    assert.match(
      await run(cluster, kubernetes, 'home'),
      /^it does not work: .*data on the NFS server stays$/,
    )
    assert.is(asked.length, 1, 'a dead cluster is asked once only')
  })

destroy('a removal that fails half-way leaves the rest to the machines', async ({ cluster }) => {
  const problem = new Problem('KUBECTL_FAILED', 'kubectl delete failed')
  const { kubernetes } = fake((words) => (words.startsWith('delete') ? problem : undefined))
  assert.match(await run(cluster, kubernetes, 'home'), /^kubectl delete failed: /)
})

destroy('what is no expected failure is not passed over', async ({ cluster }) => {
  const output = { stdout: '', stderr: 'odd', exitCode: 1 }
  const { kubernetes } = fake(() => new CommandFailed('this machine', 'kubectl', output))
  const problem = await problemOf(run(cluster, kubernetes, 'home'))
  assert.instance(problem, CommandFailed)
})

destroy('without a kubeconfig nobody is asked', async ({ cluster }) => {
  rmSync(join(cluster.generated, 'kubeconfig'))
  const { kubernetes, asked } = fake()
  assert.is(await run(cluster, kubernetes), '')
  assert.equal(asked, [])
})

destroy.run()
