/** A script that changes nothing and waits, for script.test.ts. */
import { script } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Wait.',
  waits: true,
  async run({ log }) {
    log.info('   waiting for w1 to answer: it boots')
  },
})
