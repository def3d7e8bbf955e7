/** A suite whose tests each have a cluster that exists, and programs of their own. */
import { suite, type Test } from 'uvu'
import { makeCluster, type Made } from './made-cluster.ts'

/** What each test of the suite gets. */
export interface MadeContext {
  made: Made
  path: string | undefined
  cache: string | undefined
}

/** `environment` is where the tests find programs: PATH, and the cache of downloaded tools. */
export function madeSuite(
  title: string,
  environment: (made: Made) => { readonly path: string; readonly cache: string },
): Test<MadeContext> {
  const made = suite<MadeContext>(title)
  made.before.each(async (context) => {
    context.made = await makeCluster()
    context.path = process.env['PATH']
    context.cache = process.env['XDG_CACHE_HOME']
    const { path, cache } = environment(context.made)
    process.env['PATH'] = path
    process.env['XDG_CACHE_HOME'] = cache
  })
  made.after.each((context) => {
    process.env['PATH'] = context.path
    if (context.cache === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = context.cache
    context.made.close()
  })
  return made
}
