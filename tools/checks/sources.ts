/** The packages of this workspace and what their sources import. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** A package.json. */
export interface Manifest {
  /** Relative to the workspace; empty for the workspace itself. */
  readonly folder: string
  readonly name: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

/** A source file, and its import specifiers as they are written. */
export interface Source {
  /** Relative to the workspace. */
  readonly path: string
  readonly imports: readonly string[]
}

/** Folders without sources of this project, by their path. */
const foreign = new Set(['dist', 'generated', 'lab/tools'])

/** The workspace's own package first, then those of its workspaces. */
export function readManifests(root: string): Manifest[] {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    workspaces: readonly string[]
  }
  const folders = workspaces.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [pattern]
    const above = pattern.slice(0, -2)
    return readdirSync(join(root, above)).map((name) => `${above}/${name}`)
  })
  return ['', ...folders]
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map((folder) => {
      const text = readFileSync(join(root, folder, 'package.json'), 'utf8')
      return { dependencies: {}, devDependencies: {}, ...JSON.parse(text), folder } as Manifest
    })
}

/** Every TypeScript and JavaScript file; text that only looks like an import is ignored. */
export function readSources(root: string, folder = ''): Source[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const { name } = entry
    const path = folder === '' ? name : `${folder}/${name}`
    if (name.startsWith('.') || name === 'node_modules' || foreign.has(path)) return []
    if (entry.isDirectory()) return readSources(root, path)
    if (!entry.isFile() || !/\.[cm]?[jt]s$/.test(name)) return []
    const { importedFiles } = ts.preProcessFile(readFileSync(join(root, path), 'utf8'), true, true)
    return [{ path, imports: importedFiles.map(({ fileName }) => fileName) }]
  })
}

/** The package that a file belongs to. */
export function manifestOf(manifests: readonly Manifest[], path: string): Manifest {
  const found =
    manifests.find(({ folder }) => folder !== '' && path.startsWith(`${folder}/`)) ??
    manifests.find(({ folder }) => folder === '')
  if (found === undefined) throw new Error(`${path} is in no package`)
  return found
}

/** Whether a file is used in development only: a test, a test helper, a bench. */
export function isTest(path: string): boolean {
  return /(?:^|\/)(?:test|testing|e2e|e2e-ha)\/|^bench\//.test(path)
}
