import type { Shell } from '../process/shell.ts'

/** How to write a file. */
export interface WriteOptions {
  /** Permissions of the file; 0o644 when not given. */
  readonly mode?: number
}

/** How to send a file. */
export interface UploadOptions extends WriteOptions {
  /** Called with the number of bytes read so far. */
  readonly onProgress?: (bytes: number) => void
  readonly signal?: AbortSignal
}

/** A machine on which commands run; nobody who uses it knows whether it is near or far. */
export interface Host {
  /** 'root@kvm1', or 'this machine'. */
  readonly name: string
  readonly isLocal: boolean
  readonly $: Shell
  /** The text of a file; CommandFailed when it can't be read. */
  read(path: string): Promise<string>
  /** Writes a file whole or not at all: a temporary name beside it first, then renamed. */
  write(path: string, text: string | Uint8Array, options?: WriteOptions): Promise<void>
  /** Sends a file of the operator's machine, as atomically as `write`; zeroes become holes. */
  upload(localPath: string, remotePath: string, options?: UploadOptions): Promise<void>
  close(): Promise<void>
}
