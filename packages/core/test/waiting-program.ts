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
      { log, withinMs: 100, everyMs: 20 },
    )
  },
})
