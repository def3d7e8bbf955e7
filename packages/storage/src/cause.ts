/** Known causes of storage failures, recognized by the error texts of programs. */
import { codes, Problem } from '@talosmith/core'
import type { NfsExport } from './storage-class.ts'

/** An error text of a program, and its source. */
export interface Clue {
  /** 'home-w1', 'the provisioner'. */
  readonly from: string
  readonly text: string
}

/** Why storage does not work. */
export interface Cause {
  readonly code: string
  readonly message: string
  readonly hint: string
  /** The text that shows it. */
  readonly because: string
  /** How long it must persist before it ends a wait; 0: retrying cannot help. */
  readonly minDurationMs: number
}

interface Known {
  readonly code: string
  readonly words: RegExp
  readonly message: (from: string, nfs: NfsExport) => string
  readonly hint: (nfs: NfsExport) => string
  readonly minDurationMs?: number
}

/** Kubelet and the provisioner retry after half a second, one, two ...: enough for a few retries. */
const someRetriesMs = 5000
/** For what may resolve itself while a cluster starts: it counts only when the wait times out. */
const untilTimeout = Infinity

/** Causes by the messages of mount.nfs, busybox, kubelet and the provisioner; the first match wins. */
const known: readonly Known[] = [
  {
    code: 'DRIVER_NOT_ON_NODE',
    minDurationMs: untilTimeout,
    words: /not found in the list of registered CSI drivers|driver name .* not found/i,
    message: (from) => `the NFS driver does not run on ${from}`,
    hint: () => 'kubectl -n kube-system get pods -l app=csi-nfs-node -o wide',
  },
  {
    code: 'TEST_IMAGE_MISSING',
    minDurationMs: untilTimeout,
    words: /ErrImagePull|ImagePullBackOff|failed to pull|pull image/i,
    message: (from) => `${from} cannot pull the image of the test pods`,
    hint: () => 'check that the nodes reach registry.k8s.io, or the mirror in the machine config',
  },
  {
    code: 'NFS_NAME_UNKNOWN',
    minDurationMs: someRetriesMs,
    words:
      /bad address|name or service not known|failed to resolve|name resolution|could not resolve|no such host/i,
    message: (from, { server }) => `${from} does not know the name ${server}`,
    hint: () =>
      'set NFS_SERVER to an address, or NETWORK_NAMESERVERS to servers that know the name',
  },
  {
    code: 'NFS_NO_ROUTE',
    minDurationMs: someRetriesMs,
    words: /no route to host|network is unreachable|host is unreachable/i,
    message: (from, { server }) => `${from} has no route to the NFS server ${server}`,
    hint: () => 'check NFS_SERVER, NETWORK_GATEWAY, and that the server is switched on',
  },
  {
    code: 'NFS_REFUSED',
    minDurationMs: someRetriesMs,
    words: /connection refused/i,
    message: (from, { server }) => `${server} refuses ${from} on port 2049: no NFS server listens`,
    hint: ({ server }) => `start the NFS server on ${server}, or correct NFS_SERVER`,
  },
  {
    code: 'NFS_LOCKS',
    words: /rpc\.statd is not running/i,
    message: (from) => `${from} cannot lock files over NFS 3: Talos runs no rpc.statd`,
    hint: () => 'NFS_MOUNT_OPTIONS=nfsvers=4.1, or add nolock',
  },
  {
    code: 'NFS_VERSION_REFUSED',
    words: /protocol not supported|requested NFS version|version or transport protocol/i,
    message: (from, { server }) => `${server} does not speak the NFS version that ${from} asks for`,
    hint: () => 'change nfsvers in NFS_MOUNT_OPTIONS, or enable that version on the server',
  },
  {
    code: 'NFS_ACCESS_DENIED',
    words: /access denied by server|mount(?:\.nfs|ing).*operation not permitted/is,
    message: (from, { server, share }) => `${server} does not let ${from} mount ${share}`,
    hint: ({ share }) => `allow the nodes' network in the server's export of ${share}`,
  },
  {
    code: 'NFS_READ_ONLY',
    words: /read-only file system/i,
    message: (from, { server, share }) => `${server}:${share} is read-only for ${from}`,
    hint: ({ share }) => `export ${share} with rw on the server`,
  },
  {
    code: 'NFS_EXPORT_MISSING',
    words: /reason given by server: no such file|mount.*no such file or directory|ENOENT/is,
    message: (_, { server, share }) => `${server} has no export ${share}`,
    hint: ({ server }) => `correct NFS_SHARE; showmount -e ${server} lists what it exports`,
  },
  {
    code: 'NFS_NOT_WRITABLE',
    words: /permission denied|operation not permitted/i,
    message: (from, { server, share }) => `${from} may not write to ${server}:${share}`,
    hint: ({ share }) =>
      `the driver works as root: export ${share} with no_root_squash, or make it writable for the user that root becomes`,
  },
  {
    code: codes.nfsNoAnswer,
    minDurationMs: untilTimeout,
    words: /timed out|deadline ?exceeded|timeout/i,
    message: (from, { server }) => `${server} does not answer ${from} on port 2049`,
    hint: () => "check NFS_SERVER, and firewalls between the nodes' network and the server",
  },
]

/** The first known cause that the clues match. */
export function nameCause(clues: readonly Clue[], nfs: NfsExport): Cause | undefined {
  for (const { code, words, message, hint, minDurationMs = 0 } of known)
    for (const { from, text } of clues)
      if (words.test(text)) {
        const because = shorten(text)
        return { code, message: message(from, nfs), hint: hint(nfs), because, minDurationMs }
      }
  return undefined
}

/**
 * Reports within one wait whether a cause has persisted for its minimum duration since it was first observed.
 * Events outlive the condition that they report, so one observation proves little.
 */
export function watchCauses(
  now: () => number = () => performance.now(),
): (subject: string, cause: Cause) => boolean {
  const since = new Map<string, number>()
  return (subject, { code, minDurationMs }) => {
    const key = `${subject} ${code}`
    const first = since.get(key) ?? now()
    since.set(key, first)
    return now() - first >= minDurationMs
  }
}

/** The cause as a failure. */
export function causeProblem(cause: Cause, now: string): Problem {
  const { code, message, because, hint } = cause
  return new Problem(code, message, { because, hint, now })
}

/** The informative lines of a long event, without the mount command. */
function shorten(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim().replace(/^Output:\s*/, ''))
    .filter((line) => line !== '' && !/^Mounting (?:command|arguments):/.test(line))
  return lines.slice(-4).join('\n').slice(-600)
}
