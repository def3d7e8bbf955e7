/** Builds the lab's Go programs into the user's cache. */
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join, sep } from 'node:path'
import {
  inStep,
  local,
  Problem,
  projectRoot,
  toolFolder,
  type Log,
  type ToolName,
} from '@talosmith/core'
import { cacheFolder } from './layout.ts'
import { versions } from './versions.ts'

/** A program built from the Go module lab/tools, or from lab/contracts. */
export type BuiltTool =
  'talosctl' | 'kubelab' | 'lab-node' | 'helm' | 'csi-provisioner' | ContractTool

/** Generates and validates machine configs with the packages of one Talos minor; for 1.13 there is talosctl. */
export type ContractTool = `machineconfig-${'1.9' | '1.10' | '1.11' | '1.12' | '1.14'}`

/** Build flags of every Go program of the lab, and of tests, so that they share the build cache. */
export const buildTags: readonly string[] = ['-tags', 'grpcnotrace', '-trimpath']
export const buildEnvironment = {
  CGO_ENABLED: '0',
  GOFLAGS: '-buildvcs=false',
  GOWORK: 'off',
} as const

interface Recipe {
  readonly package: string
  /** Folder in lab/ of the Go module; tools by default. */
  readonly module?: string
  /** Its module file without .mod: go by default. */
  readonly modules?: string
  /** Folders of the module with its sources. */
  readonly sources: readonly string[]
  readonly ldflags: readonly string[]
}

const kubernetesVersion = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap(
  (where) => {
    const [major = '', minor = ''] = versions.kubernetes.slice(1).split('.')
    return [
      `-X ${where}.gitVersion=${versions.kubernetes}`,
      `-X ${where}.gitMajor=${major}`,
      `-X ${where}.gitMinor=${minor}`,
      `-X ${where}.gitTreeState=clean`,
      `-X ${where}.gitCommit=lab`,
      `-X ${where}.buildDate=2026-01-01T00:00:00Z`,
    ]
  },
)

function contractRecipe(modules: string): Recipe {
  return { package: '.', module: 'contracts', modules, sources: ['.'], ldflags: [] }
}

/** What to build, in the order in which it is needed. */
const recipes: Readonly<Record<BuiltTool, Recipe>> = {
  talosctl: {
    package: 'github.com/siderolabs/talos/cmd/talosctl',
    sources: [],
    ldflags: ['-X github.com/siderolabs/talos/pkg/machinery/version.Built=lab'],
  },
  'lab-node': { package: './node', sources: ['node', 'nfs'], ldflags: [] },
  kubelab: { package: './kube', sources: ['kube'], ldflags: kubernetesVersion },
  helm: {
    package: 'helm.sh/helm/v4/cmd/helm',
    sources: [],
    ldflags: [`-X helm.sh/helm/v4/internal/version.version=${versions.helm}`],
  },
  'csi-provisioner': { package: './provisioner', sources: ['provisioner', 'nfs'], ldflags: [] },
  'machineconfig-1.9': contractRecipe('1.9'),
  'machineconfig-1.10': contractRecipe('1.10'),
  'machineconfig-1.11': contractRecipe('1.11'),
  'machineconfig-1.12': contractRecipe('1.12'),
  'machineconfig-1.14': contractRecipe('go'),
}

function moduleOf(tool: BuiltTool): { readonly folder: string; readonly modules: string } {
  const { module = 'tools', modules = 'go' } = recipes[tool]
  return { folder: join(projectRoot, 'lab', module), modules }
}

export const builtTools = Object.keys(recipes) as readonly BuiltTool[]

/** The path of a tool once it is built, in a folder named by a digest of its sources and flags. */
export function builtPath(tool: BuiltTool): string {
  return join(cacheFolder, 'tools', `${tool}-${digestOf(tool)}`, tool)
}

export function isBuilt(tool: BuiltTool): boolean {
  return existsSync(builtPath(tool))
}

function digestOf(tool: BuiltTool): string {
  const { sources, ...recipe } = recipes[tool]
  const { folder: moduleFolder, modules } = moduleOf(tool)
  const hash = createHash('sha256').update(JSON.stringify(recipe))
  for (const kind of ['mod', 'sum'])
    hash.update(readFileSync(join(moduleFolder, `${modules}.${kind}`)))
  for (const source of sources) {
    const folder = join(moduleFolder, source)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.go') && !name.endsWith('_test.go'),
    )
    for (const name of files.sort()) hash.update(name).update(readFileSync(join(folder, name)))
  }
  return hash.digest('hex').slice(0, 12)
}

/**
 * Builds a tool into the user's cache, once for all checkouts, and reports progress. Only one build runs at a
 * time: a second one waits for the first and finds the result.
 */
export async function buildTool(tool: BuiltTool, log: Log): Promise<string> {
  const path = builtPath(tool)
  if (existsSync(path)) return path
  await checkGo()
  const { package: name, ldflags } = recipes[tool]
  const { folder, modules } = moduleOf(tool)
  const text = `Build ${tool} from Go modules (once on this machine; minutes when the Go cache is empty)`
  const temporary = `${path}.${process.pid}.tmp`
  mkdirSync(dirname(path), { recursive: true })
  const modFile = `-modfile=${modules}.mod`
  const flags = [...buildTags, '-ldflags', ['-s -w', ...ldflags].join(' ')]
  const env = buildEnvironment
  try {
    await inStep(log, text, async (step) => {
      const list = local.$({
        env,
        onLine: (line) => {
          if (isGoNote(line)) step.progress(line)
        },
      })
      // The first call downloads the modules.
      const { stdout } = await list`cd ${folder} && go list ${modFile} -deps ${name}`
      const total = stdout.split('\n').length
      let compiled = 0
      const onLine = (line: string): void => {
        if (isGoNote(line)) return step.progress(line)
        compiled++
        step.progress(`${tool}: package ${compiled} of at most ${total}`)
      }
      const lock = join(cacheFolder, 'build.lock')
      await local.$({
        env,
        onLine,
      })`cd ${folder} && flock ${lock} go build ${modFile} -v ${flags} -o ${temporary} ${name}`
      renameSync(temporary, path)
    })
  } catch (cause) {
    throw new Problem('LAB_BUILD_FAILED', `could not build ${tool}`, {
      cause,
      hint: 'run the same command again; what was compiled is kept',
    })
  } finally {
    rmSync(temporary, { force: true })
  }
  return path
}

/**
 * Links a built tool into the folder where the project looks for tools, beside other versions. An earlier
 * build of the lab is replaced; anything else is kept.
 */
export function offerTool(
  name: ToolName,
  version: string,
  path: string,
  folder: string = toolFolder(name),
): void {
  const link = join(folder, version, name)
  if (existsSync(link) && !isOurBuild(link)) return
  if (linkTarget(link) === path) return
  mkdirSync(dirname(link), { recursive: true })
  // By rename: a concurrent run finds the tool at every moment.
  const temporary = `${link}.${process.pid}.tmp`
  rmSync(temporary, { force: true })
  symlinkSync(path, temporary)
  renameSync(temporary, link)
}

/** Whether a path is a link to a build of the lab, of any version of its sources. */
export function isOurBuild(path: string): boolean {
  return linkTarget(path)?.startsWith(join(cacheFolder, 'tools', sep)) ?? false
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
    ? readlinkSync(path)
    : undefined
}

async function checkGo(): Promise<void> {
  const { exitCode, stdout } = await local.$({ nothrow: true })`go version`
  if (exitCode !== 0)
    throw new Problem('LAB_NEEDS_GO', 'the lab builds its tools with Go, which was not found', {
      hint: 'install Go 1.26 from https://go.dev/dl',
    })
  const minor = Number(/go1\.(\d+)/.exec(stdout)?.[1] ?? 0)
  if (minor < 26)
    throw new Problem('LAB_NEEDS_GO', `the lab needs Go 1.26, found ${stdout.trim()}`, {
      hint: 'install Go 1.26 from https://go.dev/dl',
    })
}

/** A message of Go itself, such as which module it downloads. */
const isGoNote = (line: string): boolean => line.startsWith('go: ')
