/** A script that runs for minutes in the way that an option selects, for stop.test.ts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { local, script, waitFor } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Go on.',
  changes: true,
  options: {
    how: { type: 'string', about: 'what takes so long' },
    folder: { type: 'string', about: 'where to leave traces' },
  },
  async run({ hosts, log, options }) {
    const folder = options.folder ?? '/nonexistent'
    const pids = join(folder, 'pids')
    const work = mkdtempSync(join(folder, 'work-'))
    try {
      log.info('it has begun')
      if (options.how === 'wait')
        await waitFor('what never comes', () => sleep(600_000), { log, withinMs: 600_000 })
      if (options.how === 'pause')
        await waitFor('what never comes', () => Promise.reject(new Error('not yet')), {
          ...{ log, withinMs: 1_200_000, everyMs: 600_000 },
        })
      if (options.how === 'deaf') await sleep(600_000)
      if (options.how === 'upload') {
        const [host] = await hosts()
        writeFileSync(join(work, 'from'), Buffer.alloc(100_000_000, 'x'))
        log.info('it uploads')
        for (;;) await host?.upload(join(work, 'from'), join(folder, 'to'))
      }
      const [host = local] = options.how === 'remote' ? await hosts() : []
      await host.$`echo $$ >${pids}; sleep 600 & echo $! >>${pids}; sleep 600 | cat`
        // Work that catches its errors begins nothing more.
        .catch(() => host.$`touch ${join(folder, 'more')}`)
    } finally {
      rmSync(work, { recursive: true })
    }
  },
})
