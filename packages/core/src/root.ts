import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The project's root folder, whether this runs as it is written or compiled, in dist/. */
export const projectRoot: string = rootAbove(import.meta.dirname)

function rootAbove(folder: string): string {
  return existsSync(join(folder, 'nx.json')) ? folder : rootAbove(dirname(folder))
}
