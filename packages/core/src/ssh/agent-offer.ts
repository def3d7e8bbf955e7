/** Offers keys of an SSH agent to a host through ssh2, also types that ssh2 does not know. */
import ssh2 from 'ssh2'
import { agentSign, type AgentKey } from './agent.ts'

/** What is used of ssh2's `Protocol`, which its types leave out (lib/protocol/Protocol.js). */
export interface Protocol {
  readonly _kex: { readonly sessionID: Buffer }
  readonly _authsQueue: string[]
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number
      alloc(size: number): Buffer
      finalize(packet: Buffer): Buffer
    }
  }
  readonly _cipher: { encrypt(packet: Buffer): void }
}

type Parsed = ssh2.ParsedKey

/** The method with which ssh2 offers one key of the agent. */
export function agentMethod(
  socket: string,
  username: string,
  key: AgentKey,
  protocol: () => Protocol,
): ssh2.AgentAuthMethod {
  const known = ssh2.utils.parseKey(key.blob)
  const agent = ssh2.createAgent(socket)
  const isKnown = !(known instanceof Error) && known.type === key.type
  const offered = isKnown ? known : unknownKey(key)
  const own: Pick<ssh2.BaseAgent, 'getIdentities' | 'sign'> = {
    getIdentities: (give) => give(undefined, [offered]),
    sign: isKnown
      ? agent.sign.bind(agent)
      : (_key, data: Buffer, _options, done?: ssh2.SignCallback) =>
          void signUnknown(socket, key, { data, protocol, done }),
  }
  return {
    type: 'agent',
    username,
    agent: Object.assign(Object.create(agent) as typeof agent, own),
  }
}

/** Has the agent sign with a key that ssh2 can't parse, and answers the host; `done` gets an error only. */
async function signUnknown(
  socket: string,
  { type, blob }: AgentKey,
  {
    data,
    protocol,
    done,
  }: {
    readonly data: Buffer
    readonly protocol: () => Protocol
    readonly done: ssh2.SignCallback | undefined
  },
): Promise<void> {
  const hash = type.startsWith('ssh-rsa-cert') ? 'sha512' : undefined
  try {
    answer(protocol(), data, await agentSign(socket, blob, data, hash))
  } catch (error) {
    done?.(error as Error)
  }
}

/** A key of a type that ssh2 can't parse; it takes this for a parsed one, because it inherits from one. */
function unknownKey({ type, blob }: AgentKey): Parsed {
  return Object.assign(Object.create(template) as Parsed, {
    type: algorithmOf(type),
    getPublicSSH: () => blob,
  })
}

/** The algorithm of a request: an RSA certificate is offered with SHA-2, which no type of key names (RFC 8332). */
function algorithmOf(type: string): string {
  return type === 'ssh-rsa-cert-v01@openssh.com' ? 'rsa-sha2-512-cert-v01@openssh.com' : type
}

const template = ssh2.utils.parseKey(
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
)

/**
 * Sends the signed request itself: ssh2 would name the algorithm of the key in the signature, where a certificate has
 * that of its key, and would leave out the flags and counter of a security key (PROTOCOL.certkeys and PROTOCOL.u2f of
 * OpenSSH).
 */
function answer(protocol: Protocol, signed: Buffer, signature: Buffer): void {
  const request = signed.subarray(4 + protocol._kex.sessionID.length)
  const { write } = protocol._packetRW
  const packet = write.alloc(request.length + 4 + signature.length)
  packet.set(request, write.allocStart)
  packet.writeUInt32BE(signature.length, write.allocStart + request.length)
  packet.set(signature, write.allocStart + request.length + 4)
  protocol._authsQueue.push('publickey')
  protocol._cipher.encrypt(write.finalize(packet))
}
