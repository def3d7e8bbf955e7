/** Writes env/example.env and docs/configuration.md from the settings schema. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../src/program.ts'
import { projectRoot } from '../src/root.ts'
import { printConfigurationPage, printExampleEnv } from '../src/settings/print.ts'

program(import.meta, {
  summary: 'Write env/example.env and docs/configuration.md from the settings schema.',
  async run() {
    await writeFile(join(projectRoot, 'env', 'example.env'), printExampleEnv())
    await writeFile(join(projectRoot, 'docs', 'configuration.md'), printConfigurationPage())
  },
})
