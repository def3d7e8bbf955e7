/** The data and the text of lab:status. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { cacheFolder, exportPath, factoryPort, labFolder, type LabHost } from './layout.ts'
import { isUp } from './namespace.ts'
import { daemonsOf } from './services.ts'
import { builtTools, builtPath, isBuilt } from './tools.ts'
import { versions } from './versions.ts'

/** What `lab:status` shows. */
export interface LabStatus {
  readonly up: boolean
  readonly host: string
  readonly address: string
  readonly factory: string
  readonly nfs: string
  readonly services: readonly Service[]
  readonly guests: readonly Guest[]
  /** MiB on disk: this checkout's .lab, and the user's cache. */
  readonly disk: { readonly labMib: number; readonly cacheMib: number }
  readonly versions: Readonly<Record<string, string>>
  readonly tools: readonly {
    readonly name: string
    readonly built: boolean
    readonly path: string
  }[]
}

interface Service {
  readonly name: string
  readonly pid?: number
  readonly memoryMib?: number
}

interface Guest extends Service {
  /** The machine's configured memory, in MiB. */
  readonly givenMib: number
}

/** Reads the lab's state without changing anything; the lab need not run. */
export async function observeLab(host: LabHost): Promise<LabStatus> {
  return {
    up: isUp(host),
    host: host.name,
    address: host.address,
    factory: `http://${host.address}:${factoryPort}`,
    nfs: `${host.address}:${exportPath}`,
    services: daemonsOf(host).map(({ name, running }) => ({
      name,
      ...(running === undefined ? {} : { pid: running.pid, memoryMib: memoryMib(running.pid) }),
    })),
    guests: guestsOf(host),
    disk: { labMib: await diskMib(labFolder), cacheMib: await diskMib(cacheFolder) },
    versions,
    tools: builtTools.map((name) => ({ name, built: isBuilt(name), path: builtPath(name) })),
  }
}

/** The status as text. */
export function renderLab(status: LabStatus): string {
  const service = ({ name, pid, memoryMib: mib }: Service): string =>
    `  ${name.padEnd(12)} ${pid === undefined ? 'stopped' : `pid ${pid}, ${mib} MiB`}`
  return [
    `host ${status.host} (${status.address}) ${status.up ? 'is up' : 'is down: npx nx run lab:start'}`,
    ...status.services.map(service),
    `Image Factory ${status.factory}, NFS export ${status.nfs}`,
    status.guests.length === 0 ? 'no machine runs' : 'machines, with the memory that QEMU holds:',
    ...status.guests.map((guest) => `${service(guest)} of ${guest.givenMib}`),
    `disk: .lab ${status.disk.labMib} MiB, cache ${status.disk.cacheMib} MiB (${cacheFolder})`,
    `tools: ${status.tools.map(({ name, built }) => `${name} ${built ? 'built' : 'not built'}`).join(', ')}`,
    `versions: ${Object.entries(status.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
  ].join('\n')
}

/** libvirt keeps a pid file for each machine that runs. */
function guestsOf(host: LabHost): Guest[] {
  const folder = join(host.folder, 'root', 'run', 'libvirt', 'qemu')
  if (!isUp(host) || !existsSync(folder)) return []
  return readdirSync(folder)
    .filter((file) => file.endsWith('.pid'))
    .flatMap((file) => {
      const pid = Number(readFileSync(join(folder, file), 'utf8'))
      const command = readOr(`/proc/${pid}/cmdline`).split('\0')
      if (!command[0]?.includes('qemu')) return []
      const size = command[command.indexOf('-m') + 1] ?? ''
      const givenMib = Number(/\d+/.exec(size)?.[0] ?? 0) / (size.endsWith('k') ? 1024 : 1)
      return [{ name: file.slice(0, -'.pid'.length), pid, memoryMib: memoryMib(pid), givenMib }]
    })
}

function memoryMib(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readOr(`/proc/${pid}/status`))?.[1] ?? 0) / 1024)
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

async function diskMib(folder: string): Promise<number> {
  const { stdout } = await local.$({ nothrow: true })`du -sm ${folder}`
  return Number(stdout.split('\t')[0] ?? 0)
}
