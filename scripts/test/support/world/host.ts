/** The KVM host of the simulated world: a pool, domains, and the commands that the product runs there. */
import { hostFiles, type Cluster, type Host } from '@talosmith/core'
import { logLines, recordingHost } from '@talosmith/core/testing'
import { answerBatch, capabilities, type VirshOutput } from '@talosmith/vm/testing'
import { isoDescriptor, qcow2Header } from './headers.ts'
import { alive, beforeChange } from './runs.ts'

export const pool = '/var/lib/libvirt/images'
const gib = 2 ** 30

/** A file on the host. */
export type HostFile =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'image' }
  | { readonly kind: 'disk'; readonly gib: number; readonly backing: string }
  | { readonly kind: 'seed'; readonly publisher: string; readonly application: string }

export interface Domain {
  xml: string
  isRunning: boolean
  autostart: boolean
}

/** What is on the host. */
export interface HostState {
  readonly files: Map<string, HostFile>
  readonly domains: Map<string, Domain>
}

/** Told of what happens to machines; called before it takes effect. */
export interface HostEvents {
  /** A disk loses its file. */
  diskRemoved(path: string): void
  started(domain: string): void
  /** A change has taken effect. */
  changed(): Promise<void>
  /** A machine starts through its firmware. */
  reset(domain: string): void
  key(domain: string, key: string): void
  /** What the console log of a machine holds. */
  console(domain: string): string
  /** Whether Talos answers at an address. */
  answers(address: string): boolean
}

const mutating =
  /^(?:define|metadata|autostart|start|destroy|undefine|shutdown|blockresize|reset|send-key)\b/

/** The host: it answers as virsh, qemu-img, xorriso and the shell would, and changes its state as they do. */
export function simulatedHost(
  state: () => HostState,
  events: HostEvents,
  cluster: () => Cluster,
): Host {
  const change = async (what: string, effect: () => void): Promise<string> => {
    await beforeChange(what)
    effect()
    await events.changed()
    return ''
  }
  const remove = (path: string): void => {
    if (state().files.get(path)?.kind === 'disk') events.diskRemoved(path)
    state().files.delete(path)
  }
  const virshChange = (words: string, input: string): void => {
    const [verb = '', name = ''] = words.split(' ')
    const { domains } = state()
    if (verb === 'define') {
      const defined = /<name>(.*?)<\/name>/.exec(input)?.[1] ?? ''
      const before = domains.get(defined)
      domains.set(defined, { isRunning: false, autostart: false, ...before, xml: input })
      return
    }
    const domain = domains.get(name)
    if (domain === undefined) throw new Error(`the product changes ${name}, which is not there`)
    if (verb === 'metadata')
      domain.xml = domain.xml.replace(
        /state="[a-z]*"/,
        `state="${/disk state=\W+(\w+)/.exec(words)?.[1]}"`,
      )
    if (verb === 'autostart') domain.autostart = !words.includes('--disable')
    if (verb === 'start') {
      domain.isRunning = true
      events.started(name)
    }
    if (verb === 'reset') events.reset(name)
    if (verb === 'send-key') events.key(name, words.split(' ').at(-1) ?? '')
    if (verb === 'destroy' || verb === 'shutdown') domain.isRunning = false
    if (verb === 'undefine') domains.delete(name)
  }
  const virsh = (words: string): VirshOutput => {
    const { domains } = state()
    const names = [...domains.keys()]
    if (words.startsWith('pool-dumpxml'))
      return `<pool type='dir'><name>default</name><target><path>${pool}</path></target></pool>`
    if (words.startsWith('pool-list')) return 'default'
    if (words.startsWith('list') && words.includes('--autostart'))
      return names.filter((name) => domains.get(name)?.autostart).join('\n')
    if (words.startsWith('list'))
      return names
        .filter((name) => words.includes('--all') || domains.get(name)?.isRunning)
        .join('\n')
    if (words.startsWith('domstats'))
      return [...domains]
        .map(([name, { isRunning }]) => `Domain: '${name}'\n  state.state=${isRunning ? 1 : 5}\n`)
        .join('\n')
    if (words.startsWith('domcapabilities')) return capabilities
    if (words.startsWith('net-list')) return 'default'
    if (words.startsWith('net-dumpxml')) return '<network/>'
    if (words.startsWith('echo')) return ''
    const name = words.split(' ').find((word) => domains.has(word)) ?? ''
    const domain = domains.get(name)
    if (domain === undefined) return { error: `failed to get domain '${words.split(' ').at(-1)}'` }
    if (words.startsWith('dumpxml'))
      return domain.xml.includes('<uuid>')
        ? domain.xml
        : domain.xml.replace(/<name>(.*?)<\/name>/, '<uuid>$1</uuid>$&')
    if (words.startsWith('domstate')) return domain.isRunning ? 'running' : 'shut off'
    if (/^dom(?:blklist|blkerror)/.test(words)) return ''
    // No machine has saved memory, snapshots or checkpoints.
    if (/^(?:managedsave-remove|(?:snapshot|checkpoint)-list)/.test(words)) return ''
    throw new Error(`the simulated virsh does not know: ${words}`)
  }
  const observeFiles = (): string => {
    const image = hostFiles(cluster(), pool).image
    const lines = [
      'direct',
      'kvm',
      'flag',
      'bridge br0',
      'seedfolder',
      'writable',
      'seedwritable',
      'memory 64000000',
      `free ${500 * gib}`,
    ]
    if (state().files.has(image)) lines.push('image')
    for (const [path, file] of state().files) {
      if (file.kind === 'disk') lines.push(`disk 8 ${qcow2Header(file)} ${path}`)
      if (file.kind === 'seed') lines.push(`seed ${isoDescriptor(file)} 378880 ${path}`)
    }
    return lines.join('\n')
  }
  const observeImage = (command: string): string => {
    const image = /-L -c 'file %s %.9Y' (\S+)/.exec(command)?.[1] ?? ''
    const ledger = state().files.get(`${image}.ledger.json`)
    return [
      ...(state().files.has(image) ? ['file 1306525696 1.000000000'] : []),
      ...(ledger?.kind === 'text' ? [`ledger ${ledger.text.replaceAll('\n', '')}`] : []),
      `free ${500 * gib}`,
    ].join('\n')
  }
  const answer = async (command: string, input = ''): Promise<string | object | undefined> => {
    await alive()
    const batch = answerBatch(command, virsh)
    if (batch !== undefined) return batch
    const single = /^virsh -q -c qemu:\/\/\/system (.*)$/s.exec(command)?.[1]
    if (command.includes('qemu:///system define'))
      return change('virsh define', () => virshChange('define', input))
    if (single !== undefined && mutating.test(single)) {
      const words = single.split(' ')
      if (!state().domains.has(words[1] ?? ''))
        return { exitCode: 1, stderr: `error: failed to get domain '${words[1]}'` }
      return change(`virsh ${words.slice(0, 2).join(' ')}`, () => virshChange(single, input))
    }
    if (single !== undefined) {
      const output = virsh(single.replaceAll("'", ''))
      return typeof output === 'string' ? output : { exitCode: 1, stderr: `error: ${output.error}` }
    }
    if (command.startsWith('bash -c ') && command.includes('talosmith-image')) return image(command)
    if (command.includes('virsh')) return undefined
    if (command.includes('shopt -s nullglob\nimage=')) return observeFiles()
    if (command.includes(`-L -c 'file %s`)) return observeImage(command)
    if (command.includes('$(id -un)'))
      return 'user root\ngroups root\nflags cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3\nflags-of-bridge 0x1003\n'
    const files = /^for file in (.*); do \[ ! -e "\$file" \]/m.exec(command)?.[1]?.split(' ')
    if (files !== undefined)
      return files
        .filter((path) => state().files.has(path))
        .map((path) => `${path}\n`)
        .join('')
    const logged = /([^/\s]+)-console\.log/.exec(command)?.[1]
    if (logged !== undefined) return readLog(command, events.console(logged))
    const reached = /dev\/tcp\/([\d.]+)\//.exec(command)?.[1]
    if (reached !== undefined && !command.includes('try_port()'))
      return events.answers(reached) ? 'open' : 'silent'
    if (command.includes('try_port()')) return ''
    const disk = /^pool_overlay (\S+) (\S+) \S+ (\d+)$/m.exec(command)
    if (disk !== null) {
      const [, backing = '', path = '', size] = disk
      if (state().files.has(path)) return { exitCode: 1, stderr: `${path} already exists` }
      return change(`create ${path}`, () =>
        state().files.set(path, { kind: 'disk', gib: Number(size), backing }),
      )
    }
    const seed = /-publisher '(.*?)' -A '(.*?)' .*\npool_put \S+ (\S+)/s.exec(command)
    if (seed !== null) {
      const [, publisher = '', application = '', path = ''] = seed
      return change(`create ${path}`, () =>
        state().files.set(path, { kind: 'seed', publisher, application }),
      )
    }
    const removed = /^(?:pool_remove|rm -f --) (.*)$/m.exec(command)?.[1]?.split(' ')
    if (removed !== undefined)
      return removed.some((path) => state().files.has(path))
        ? change(`rm ${removed[0]}`, () => removed.forEach(remove))
        : ''
    if (command.startsWith('mkdir -p')) return ''
    if (command.startsWith(': find the folder of the transfer')) return '/partial\n'
    const recorded = /^ {2}pool_put \S+ (\S+\.ledger\.json)$/m.exec(command)?.[1]
    if (recorded !== undefined)
      return change(`write ${recorded}`, () =>
        state().files.set(recorded, { kind: 'text', text: input }),
      )
    return undefined
  }
  /** transfer.sh places the image and its ledger; verify.sh hashes it. What interrupts them is the image's own test. */
  const image = async (command: string): Promise<string> => {
    const path = /talosmith-image (\S+)/.exec(command)?.[1] ?? ''
    if (state().files.has(path))
      return `bytes 1306525696\nsha256 ${'a'.repeat(64)}\nmodified 1.000000000\nstart disk\n`
    const facts =
      /'(\{"url".*?)'/.exec(command.slice(command.indexOf('talosmith-image')))?.[1] ?? '{'
    const digest = { bytes: 1, sha256: 'a'.repeat(64) }
    const rest = {
      compressed: digest,
      raw: { ...digest, bytes: 1306525696 },
      at: '',
      modified: '1.000000000',
    }
    await change(`place ${path}`, () => {
      state().files.set(`${path}.ledger.json`, {
        kind: 'text',
        text: `${facts},${JSON.stringify(rest).slice(1)}`,
      })
      state().files.set(path, { kind: 'image' })
    })
    return `placed 1 ${digest.sha256} 1306525696 ${digest.sha256}`
  }
  return {
    ...recordingHost(answer, { name: 'this machine', isLocal: true }),
    async write(path, text) {
      await change(`write ${path}`, () =>
        state().files.set(path, { kind: 'text', text: Buffer.from(text).toString() }),
      )
    },
  }
}

/** Reads a console log as stat and tail do: its size, all from a byte on, or its end and for how long it is quiet. */
function readLog(command: string, text: string): string {
  const from = /^size=(\d+)$/m.exec(command)?.[1]
  if (from !== undefined) return text.slice(Number(from))
  const name = /^names=\((\S+)\)$/m.exec(command)?.[1]
  return name === undefined ? `${text.length}\n` : logLines(name, text.slice(-20_000))
}
