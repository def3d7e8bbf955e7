/** A script that changes nothing and waits, for script.test.ts. */
import { script, waitFor } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Wait.',
  waits: true,
  options: { boots: { type: 'string', about: 'how often w1 is looked at until it answers' } },
  async run({ log, options }) {
    let left = Number(options.boots ?? 1)
    await waitFor(
      'w1 to answer',
      async () => {
        if (left-- > 0) throw new Error('it boots')
      },
      // A busy machine may take longer than 100 ms for one check; a run that is to fail need not wait.
      { log, withinMs: left > 1 ? 100 : 30_000, everyMs: 20 },
    )
  },
})
