/** A command that has to be refused before it changes anything. */
import type { Cluster } from '@talosmith/core'
import * as assert from 'uvu/assert'
import { localFiles, nx, withHost, type Overrides } from './support.ts'

/**
 * The files in the pool, the seeds with their contents, the domains as defined, and the files here. Asks no machine,
 * so that machines may be off.
 */
export async function stateOf(cluster: Cluster): Promise<string> {
  const pool = '/var/lib/libvirt/images'
  const { stdout } = await withHost(
    cluster,
    ({ $ }) => $`
find ${pool} -type f -printf ${'%p %i\\n'} | sort
sha256sum ${pool}/*-seed.iso || true
for name in $(virsh -q list --all --name | sort); do virsh dumpxml --inactive $name | sha256sum; done`,
  )
  return stdout + localFiles(cluster.generated)
}

/**
 * Runs a target, by default cluster:up, which has to be refused with this code and to change nothing; returns its
 * output.
 */
export async function assertRefused(
  cluster: Cluster,
  code: string,
  overrides: Overrides = {},
  target = 'cluster:up',
): Promise<string> {
  const before = await stateOf(cluster)
  const { code: exit, output } = await nx(target, overrides)
  assert.is.not(exit, 0)
  assert.match(output, code)
  assert.is(await stateOf(cluster), before)
  return output
}
