/** Makes every change of a file in `generated/` a moment at which a run can be killed. */
import { promises } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { relative } from 'node:path'
import { alive, beforeChange, isInRun } from './runs.ts'

/** Called after each change of a file. */
type Changed = () => void

/**
 * Replaces what writes files in this process. A file counts when it gets its name, or loses it: temporary files, and
 * those of work folders, are only kept from being written by a run that has ended.
 */
export function watchFiles(folder: string, changed: Changed): void {
  const { rename, rm, open, mkdir, writeFile, chmod } = promises
  const inside = (path: unknown): string | undefined => {
    const name = typeof path === 'string' ? relative(folder, path) : '..'
    return name.startsWith('..') ? undefined : name
  }
  const counts = (name: string | undefined): name is string =>
    name !== undefined && isInRun() && !/^work(\/|$)|\.tmp$/.test(name)
  const change = async <T>(what: string, names: readonly unknown[], act: () => Promise<T>) => {
    const counted = names.map(inside).filter(counts)
    if (counted.length > 0) await beforeChange(`${what} ${counted.join(' ')}`)
    else await alive()
    const result = await act()
    if (counted.length > 0) changed()
    return result
  }
  Object.assign(promises, {
    rename: (from: string, to: string) => change('write', [from, to], () => rename(from, to)),
    rm: (...args: Parameters<typeof rm>) => change('remove', [args[0]], () => rm(...args)),
    writeFile: (...args: Parameters<typeof writeFile>) =>
      change('write', [args[0]], () => writeFile(...args)),
    open: async (...args: Parameters<typeof open>) => (await alive(), open(...args)),
    mkdir: async (...args: Parameters<typeof mkdir>) => (await alive(), mkdir(...args)),
    chmod: async (...args: Parameters<typeof chmod>) => (await alive(), chmod(...args)),
  })
  syncBuiltinESMExports()
}
