/** lab:start and lab:stop. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findTool, local, withLock, type Cluster, type Log, type ToolName } from '@talosmith/core'
import { packageChart } from '../chart/package.ts'
import { factoryVersion } from './factory/version.ts'
import { forgetClusters, forgetImages } from './forget.ts'
import { clearFolder, removeIfEmpty } from './folders.ts'
import { buildInitramfs } from './guest/initramfs.ts'
import { fetchKernel } from './guest/kernel.ts'
import { chartFolder, labFolder, type LabHost } from './layout.ts'
import { createNamespace, inside, isUp, removeNamespace } from './namespace.ts'
import { installPackages } from './packages.ts'
import { startFactory, startLibvirt, startNfs, startHostSshd } from './services.ts'
import { builtPath, buildTool, isOurBuild, offerTool } from './tools.ts'
import { versions } from './versions.ts'

/** One lab:start or lab:stop of this checkout at a time. */
const lock = { name: 'the lab', generated: labFolder }

/** Starts what of the lab does not run. Long steps report their progress, and run once per machine. */
export async function startLab(host: LabHost, cluster: Cluster, log: Log): Promise<void> {
  await withLock(lock, 'lab:start', async () => {
    // apt and the Go compiler need not wait for each other.
    const [, kernel] = await Promise.all([
      buildTools(cluster, log),
      startServices(host, log).then(() => fetchKernel(log)),
    ])
    const initramfs = await buildInitramfs(kernel, builtPath('lab-node'), log)
    await startFactory(host, factoryVersion(), log)
    await forgetImagesOfOldParts(host, initramfs)
    await provideHelm(cluster, log)
    await buildTool('csi-provisioner', log)
    const helm = await findTool('helm', cluster)
    await packageChart(helm.path, chartFolder)
  })
}

/** Starts a second host beside the lab's running one: sshd and libvirt only. */
export async function startSecondHost(host: LabHost, log: Log): Promise<void> {
  await withLock(lock, 'lab:start', async () => {
    await createNamespace(host)
    await startHostSshd(host)
    await startLibvirt(host, log)
  })
}

async function startServices(host: LabHost, log: Log): Promise<void> {
  await installPackages(log)
  await createNamespace(host)
  await startHostSshd(host)
  await startNfs(host)
  await startLibvirt(host, log)
}

/** Builds what the first machines need. The operator's own talosctl is used if its version fits. */
async function buildTools(cluster: Cluster, log: Log): Promise<void> {
  if (!(await hasToolOfOperator('talosctl', cluster)))
    offerTool('talosctl', versions.talos, await buildTool('talosctl', log))
  await buildTool('lab-node', log)
  offerTool('kubectl', versions.kubernetes, await buildTool('kubelab', log))
}

/** Helm is built last: most of its packages are compiled by then, for kubectl. */
async function provideHelm(cluster: Cluster, log: Log): Promise<void> {
  if (!(await hasToolOfOperator('helm', cluster)))
    offerTool('helm', versions.helm, await buildTool('helm', log))
}

/** A link to an earlier build of the lab does not count, so that changed sources are rebuilt. */
async function hasToolOfOperator(name: ToolName, cluster: Cluster): Promise<boolean> {
  return findTool(name, cluster).then(
    ({ path }) => !isOurBuild(path),
    () => false,
  )
}

/**
 * A changed guest results in different images with the same names, which the image ledgers would reject.
 * Images are deleted when no machine exists; existing machines keep the old ones.
 */
async function forgetImagesOfOldParts(host: LabHost, parts: string): Promise<void> {
  const file = join(labFolder, 'image-parts')
  const before = existsSync(file) ? readFileSync(file, 'utf8') : parts
  if (before !== parts) {
    forgetImages()
    const { stdout } = await local.$`${virshOn(host)} list --all --name`
    if (stdout.trim() === '')
      await local.$`rm -rf ${join(host.folder, 'root/var/lib/libvirt/images')}/talos-*`
  }
  writeFileSync(file, parts)
}

const virshOn = (host: LabHost): string[] => [
  ...inside(host),
  ...['virsh', '-q', '-c', 'qemu:///system'],
]

/** Ends a host: its guests, services and namespaces. Its folder stays. */
export async function stopHost(host: LabHost): Promise<void> {
  if (isUp(host)) {
    const virsh = virshOn(host)
    const { stdout } = await local.$({ nothrow: true })`${virsh} list --name`
    for (const name of stdout.split('\n').filter(Boolean))
      await local.$({ nothrow: true })`${virsh} destroy ${name}`
  }
  await removeNamespace(host)
  rmSync(join(host.folder, 'pids'), { recursive: true, force: true })
}

/** Removes the lab: its hosts, the last one first, and, unless `keepDisks`, the machines' disks. */
export async function stopLab(hosts: readonly LabHost[], keepDisks: boolean): Promise<void> {
  await withLock(lock, 'lab:stop', async () => {
    for (const host of hosts.toReversed()) await stopHost(host)
    if (keepDisks) return
    forgetImages()
    forgetClusters()
    // The lock is in there too; another process that waits for it continues once it is released.
    clearFolder(labFolder, 'lock')
  })
  removeIfEmpty(labFolder)
}
