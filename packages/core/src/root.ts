import { join } from 'node:path'

/** The project's root folder. */
export const projectRoot: string = join(import.meta.dirname, '..', '..', '..')
