import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { local, type Log } from '@talosmith/core'
import { buildInitramfs } from './guest/initramfs.ts'
import { fetchKernel } from './guest/kernel.ts'
import { labFolder, type LabHost } from './layout.ts'
import { createNamespace, inside, isUp, removeNamespace } from './namespace.ts'
import { installPackages } from './packages.ts'
import { startFactory, startLibvirt, startSshd } from './services.ts'
import { buildTool, offerTool, versions } from './tools.ts'

/** Brings the lab up, or finds it up. What takes long is said while it happens, and happens once. */
export async function startLab(host: LabHost, log: Log): Promise<void> {
  await installPackages(log)
  await createNamespace(host)
  await startSshd(host)
  await startLibvirt(host, log)
  const nodeProgram = await buildTool('lab-node', log)
  offerTool('talosctl', versions.talos, await buildTool('talosctl', log))
  offerTool('kubectl', versions.kubernetes, await buildTool('kubelab', log))
  await buildInitramfs(await fetchKernel(log), nodeProgram, log)
  await startFactory(host, log)
}

/** Takes the lab away: guests, services, namespaces and, unless they are to be kept, the machines' disks. */
export async function stopLab(host: LabHost, keepDisks: boolean): Promise<void> {
  if (isUp(host)) {
    const virsh = [...inside(host), 'virsh', '-q', '-c', 'qemu:///system']
    const { stdout } = await local.$({ nothrow: true })`${virsh} list --name`
    for (const name of stdout.split('\n').filter(Boolean))
      await local.$({ nothrow: true })`${virsh} destroy ${name}`
  }
  await removeNamespace(host)
  rmSync(join(host.folder, 'pids'), { recursive: true, force: true })
  if (!keepDisks && existsSync(labFolder)) rmSync(labFolder, { recursive: true, force: true })
}
