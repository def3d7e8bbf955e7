/** A suite of tests that destroy a cluster which exists. */
import type { Cluster } from '@talosmith/core'
import { suite, type Test } from 'uvu'
import { makeCluster, type Made } from './made-cluster.ts'

/** What each test of the suite gets: a cluster that exists, with the tools that its chain finds. */
interface Context {
  made: Made
  path: string | undefined
  cache: string | undefined
}

/** A suite in which each test has a cluster of its own. */
export function destroySuite(title: string): Test<Context> {
  const destroy = suite<Context>(title)
  destroy.before.each(async (context) => {
    context.made = await makeCluster()
    context.path = process.env['PATH']
    context.cache = process.env['XDG_CACHE_HOME']
    process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
    process.env['XDG_CACHE_HOME'] = context.made.path('cache')
  })
  destroy.after.each(({ made, path, cache }) => {
    process.env['PATH'] = path
    if (cache === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = cache
    made.close()
  })
  return destroy
}

/** The confirmation of a cluster's destroy. */
export function confirmed({ cluster }: { readonly cluster: Pick<Cluster, 'name'> }): {
  readonly confirm: string
} {
  return { confirm: cluster.name }
}
