/** A script that ends in the way that an option selects, for script.test.ts. */
import { existsSync } from 'node:fs'
import { exitCodes, local, Problem, script } from '../src/index.ts'

export default script(import.meta, {
  summary: 'End as requested.',
  changes: true,
  losesData: true,
  options: { how: { type: 'string', about: 'how to end', env: 'HOW' } },
  async run({ options, dryRun, showPlan, log, answer, cluster, confirm, confirmed }) {
    const change = {
      kind: 'make-disk',
      target: 'w1',
      summary: 'Make the disk of w1',
      risk: 'none',
    } as const
    if (options.how === 'refused') throw new Problem('NAME_TAKEN', 'there is a w1 already')
    if (dryRun) return showPlan(options.how === 'nothing' ? [] : [change])
    if (options.how === 'loss') confirm([change])
    const step = log.step('making the disk of w1')
    const secret = process.env['TEST_SECRET'] ?? ''
    if (options.how === 'problem')
      throw new Problem('DISK_FULL', 'the pool is full', {
        because: `its token is ${secret.length} long`,
        hint: 'make room',
      })
    if (options.how === 'bug') throw new TypeError('w1 is undefined')
    if (options.how === 'failing command') await local.$({ input: secret })`cat >/dev/null; exit 3`
    if (options.how === 'returned failure') return exitCodes.failed
    await local.$({ input: secret })`cat >/dev/null`
    step.done()
    answer({ cluster: cluster.name, confirmed, locked: existsSync(`${cluster.generated}/lock`) })
    return
  },
})
