/** Network and mount namespaces of a lab host. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local, Problem } from '@talosmith/core'
import { labFolder, type LabHost } from './layout.ts'
import { endProcess, notePid, runningProcess, startDaemon, startTimeOf } from './processes.ts'

/**
 * A lab host's network and mount namespaces. A process that only sleeps holds them open; everything of the
 * host is started inside, with its own /run, /var/lib/libvirt, /etc/libvirt and logs.
 */

const holderPid = (host: LabHost): string => join(host.folder, 'pids', 'namespace')

/** The command prefix that runs a command inside the host. */
export function inside(host: LabHost): string[] {
  const holder = runningProcess(holderPid(host))
  if (holder === undefined)
    throw new Problem('LAB_NOT_RUNNING', `the lab's host ${host.name} is not running`, {
      hint: 'npx nx run lab:start',
    })
  return ['nsenter', '-t', String(holder.pid), '-m', '-n']
}

/** Whether the host is completely set up: a start that was killed half-way does not count. */
export function isUp(host: LabHost): boolean {
  const holder = runningProcess(holderPid(host))
  return holder !== undefined && readOr(completeFile(host)) === holder.startTime
}

/** The host's own folders, in the lab's folder instead of this machine's. */
const ownFolders = [
  '/run',
  '/var/lib/libvirt',
  '/etc/libvirt',
  '/var/log/libvirt',
  '/var/cache/libvirt',
  '/srv',
]

/** Creates the namespaces, the bridge and the veth pair, unless they exist. The host at the cable's other end must be up. */
export async function createNamespace(host: LabHost): Promise<void> {
  if (isUp(host)) return
  await removeNamespace(host)
  const { namespace, veth, uplink, bridge, cable } = host
  await local.$`mkdir -p ${join(host.folder, 'pids')}`
  await local.$`ip netns add ${namespace}`
  // `ip netns exec` gives the process a mount namespace of its own, with this network's /sys.
  startDaemon(holderPid(host), join(host.folder, 'log', 'namespace.log'), [
    'ip',
    'netns',
    'exec',
    namespace,
    'sleep',
    'infinity',
  ])
  await untilInside(host)
  const ns = inside(host)
  await local.$`echo ${labFolder} > ${ownerFile(host)}`
  await local.$`${ns} ip link set lo up`
  await local.$`${ns} ip link add ${bridge} type bridge`
  await local.$`${ns} ip addr add ${`${host.address}/${host.prefixLength}`} dev ${bridge}`
  await local.$`${ns} ip link set ${bridge} up`
  await local.$`ip link add ${veth} type veth peer name ${uplink} netns ${namespace}`
  if ('host' in cable) await local.$`ip link set ${veth} netns ${cable.host.namespace}`
  const there = 'host' in cable ? inside(cable.host) : []
  const end =
    'host' in cable
      ? ['link', 'set', veth, 'master', cable.host.bridge]
      : ['addr', 'add', `${cable.address}/${host.prefixLength}`, 'dev', veth]
  await local.$`${[...there, 'ip', ...end]}`
  await local.$`${[...there, 'ip', 'link', 'set', veth, 'up']}`
  await local.$`${ns} ip link set ${uplink} master ${bridge} up`
  // Bridged frames need not pass iptables: there are no rules inside.
  await local.$({ nothrow: true })`${ns} sysctl -qw net.bridge.bridge-nf-call-iptables=0`
  await local.$`rm -rf ${join(host.folder, 'root', 'run')}`
  for (const folder of ownFolders) {
    const own = join(host.folder, 'root', folder)
    await local.$`mkdir -p ${own} ${folder}`
    if (folder.startsWith('/etc')) await local.$`cp -rn ${folder}/. ${own}/`
    await local.$`${ns} mount --bind ${own} ${folder}`
  }
  // machine-id(5): two hosts of one ID would be one host.
  const machineId = createHash('sha256')
    .update(`${labFolder} ${host.name}`)
    .digest('hex')
    .slice(0, 32)
  await local.$`${ns} sh -c ${`[ ! -e /etc/machine-id ] || { echo ${machineId} > /run/machine-id; mount --bind /run/machine-id /etc/machine-id; }`}`
  await local.$`${ns} mkdir -p ${`/var/lib/libvirt/${host.pool.folder}`}`
  await local.$`${ns} sh -c ${'mkdir -p /run/sshd /run/libvirt /var/log/libvirt/qemu'}`
  writeFileSync(completeFile(host), runningProcess(holderPid(host))?.startTime ?? '')
}

/**
 * Ends every process in the host, then removes its namespaces and veth pair, if they exist.
 * Throws LAB_OF_ANOTHER_CHECKOUT if they belong to another checkout's running lab.
 */
export async function removeNamespace(host: LabHost): Promise<void> {
  checkOwner(host)
  const { stdout } = await local.$({ nothrow: true })`ip netns pids ${host.namespace}`
  await Promise.all(
    stdout
      .split('\n')
      .filter(Boolean)
      .map((pid) => endProcess(Number(pid))),
  )
  const { cable, veth } = host
  const there = 'host' in cable && isUp(cable.host) ? inside(cable.host) : []
  await local.$({ nothrow: true })`${[...there, 'ip', 'link', 'del', veth]}`
  await local.$({ nothrow: true })`ip netns del ${host.namespace}`
  for (const file of [ownerFile(host), completeFile(host)]) rmSync(file, { force: true })
}

const completeFile = (host: LabHost): string => join(host.folder, 'pids', 'complete')

/** Contains the lab folder of the checkout that owns the namespace. */
const ownerFile = (host: LabHost): string => `/run/talosmith-${host.name}-owner`

function checkOwner(host: LabHost): void {
  if (!existsSync(`/run/netns/${host.namespace}`)) return
  const owner = readOr(ownerFile(host)) ?? labFolder
  const holder = runningProcess(join(owner, host.name, 'pids', 'namespace'))
  if (owner !== labFolder && holder !== undefined)
    throw new Problem(
      'LAB_OF_ANOTHER_CHECKOUT',
      `the lab of another checkout is running: ${owner}`,
      {
        because: `both would be ${host.address} on this machine`,
        hint: `cd ${join(owner, '..')} && npx nx run lab:stop`,
      },
    )
}

function readOr(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

/** `ip netns exec` becomes `sleep` once it is inside; before that its namespaces are still this machine's. */
async function untilInside(host: LabHost): Promise<void> {
  const { pid } = runningProcess(holderPid(host)) ?? { pid: 0 }
  for (let tries = 0; tries < 500 && startTimeOf(pid) !== undefined; tries++) {
    const name = readOr(`/proc/${pid}/comm`)
    if (name === 'sleep') return void notePid(holderPid(host), pid)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Problem('LAB_NAMESPACE_FAILED', `could not enter the namespace ${host.namespace}`, {
    hint: 'npx nx run lab:stop, then lab:start',
  })
}
