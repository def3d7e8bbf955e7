/** A client of an SSH agent that knows every type of key, also those that the SSH library does not. */
import { connect } from 'node:net'

/** A public key that the agent can sign with, in SSH's wire format. */
export interface AgentKey {
  readonly blob: Buffer
  readonly type: string
  readonly comment: string
}

/** Messages of the agent protocol (draft-miller-ssh-agent, section 6). */
const messages = { listKeys: 11, keys: 12, sign: 13, signature: 14 } as const
/** Flags of a request to sign with an RSA key (section 4.5.1). */
const rsaFlags: Readonly<Record<string, number>> = { sha256: 2, sha512: 4 }

/** An agent that hangs must not stop a run; a security key may wait for a touch. */
const listMs = 5000
const signMs = 60_000

/** The keys of the agent; throws when it cannot be reached. */
export async function agentKeys(socket: string): Promise<AgentKey[]> {
  const answer = await query(socket, Buffer.from([messages.listKeys]), messages.keys, listMs)
  const [count, ...rest] = [answer.readUInt32BE(0), answer.subarray(4)]
  const strings = readStrings(rest[0] ?? Buffer.alloc(0), 2 * count)
  return Array.from({ length: count }, (_, index) => {
    const blob = strings[2 * index] ?? Buffer.alloc(0)
    return { blob, type: typeOf(blob), comment: strings[2 * index + 1]?.toString() ?? '' }
  })
}

/** The agent's signature in SSH's wire format: algorithm, signature, and what security keys add. */
export async function agentSign(
  socket: string,
  blob: Buffer,
  data: Buffer,
  hash: string | undefined,
): Promise<Buffer> {
  const flags = Buffer.alloc(4)
  flags.writeUInt32BE(rsaFlags[hash ?? ''] ?? 0)
  const request = Buffer.concat([
    ...[Buffer.from([messages.sign]), sshString(blob), sshString(data), flags],
  ])
  const [signature] = readStrings(await query(socket, request, messages.signature, signMs), 1)
  if (signature === undefined) throw new Error('the agent sent no signature')
  return signature
}

/** The type of a key in wire format. */
export function typeOf(blob: Buffer): string {
  return readStrings(blob, 1)[0]?.toString('latin1') ?? ''
}

/** A string of SSH's wire format: its length, then its bytes. */
export function sshString(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** The first `count` strings of SSH's wire format; fewer when it ends before. */
export function readStrings(bytes: Buffer, count: number): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; found.length < count && at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) break
    found.push(bytes.subarray(at + 4, end))
    at = end
  }
  return found
}

/** Sends one request to the agent; its answer without the type. Throws when that is another one. */
function query(
  path: string,
  request: Buffer,
  expected: number,
  timeoutMs: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const socket = connect({ path, timeout: timeoutMs })
    const fail = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    socket.once('error', fail)
    socket.once('timeout', () => fail(new Error(`no answer within ${timeoutMs / 1000} s`)))
    socket.once('close', () => reject(new Error('the agent closed the connection')))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const [answer] = readStrings(received, 1)
      if (answer === undefined) return
      if (answer[0] !== expected) return fail(new Error('the agent refused'))
      socket.destroy()
      resolve(answer.subarray(1))
    })
    socket.write(sshString(request))
  })
}
