/** Packages the lab's chart as a repository: index.yaml and csi-driver-nfs-<version>.tgz, created by helm. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { local, projectRoot } from '@talosmith/core'

const chart = join(projectRoot, 'lab', 'chart', 'csi-driver-nfs')

/** Creates the chart repository that the lab's factory serves in `folder`, unless it exists. */
export async function packageChart(helm: string, folder: string): Promise<void> {
  const stamp = join(folder, `.made-from-${await digest(chart)}`)
  if (existsSync(stamp)) return
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await local.$`${helm} package ${chart} --destination ${folder}`
  await local.$`${helm} repo index ${folder}`
  await local.write(stamp, '')
}

async function digest(folder: string): Promise<string> {
  const hash = createHash('sha256')
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  for (const path of files.map((file) => join(file.parentPath, file.name)).sort())
    hash.update(path.slice(folder.length)).update(await readFile(path))
  return hash.digest('hex').slice(0, 16)
}
