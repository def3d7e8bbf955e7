/** A script that connects to its hosts and runs a long command on the last one, for script.test.ts. */
import { script } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Connect to all hosts.',
  async run({ hosts, eachHost }) {
    void eachHost()
      .at(-1)
      ?.then((host) => host.$`sleep 600`)
      .catch(() => undefined)
    await hosts()
  },
})
