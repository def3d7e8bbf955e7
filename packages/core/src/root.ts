/** Where the project's root folder is. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The project's root folder, for the sources as well as for the compiled programs in dist/. */
export const projectRoot: string = rootAbove(import.meta.dirname)

function rootAbove(folder: string): string {
  return existsSync(join(folder, 'nx.json')) ? folder : rootAbove(dirname(folder))
}
