/** A suite of tests that destroy a cluster which exists. */
import type { Cluster } from '@talosmith/core'
import type { Test } from 'uvu'
import { madeSuite, type MadeContext } from './made-suite.ts'

/** A suite in which each test has a cluster of its own, with the tools that its chain finds. */
export function destroySuite(title: string): Test<MadeContext> {
  return madeSuite(title, (made) => ({
    path: `${made.path('bin')}:${process.env['PATH']}`,
    cache: made.path('cache'),
  }))
}

/** The confirmation of a cluster's destroy. */
export function confirmed({ cluster }: { readonly cluster: Pick<Cluster, 'name'> }): {
  readonly confirm: string
} {
  return { confirm: cluster.name }
}
