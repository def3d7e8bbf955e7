/** The interface of a machine on which commands run, this one or a remote one. */
import type { Shell } from '../process/shell.ts'

/** Options for writing a file. */
export interface WriteOptions {
  /** Permissions of the file; default 0o644. */
  readonly mode?: number
}

/** Options for uploading a file. */
export interface UploadOptions extends WriteOptions {
  /** Called with the number of bytes read so far. */
  readonly onProgress?: (bytes: number) => void
  readonly signal?: AbortSignal
}

/** A machine on which commands run, the same way locally and over SSH. */
export interface Host {
  /** 'root@kvm1', or 'this machine'. */
  readonly name: string
  readonly isLocal: boolean
  readonly $: Shell
  /** The text of a file; CommandFailed when it can't be read. */
  read(path: string): Promise<string>
  /** Writes a file atomically: first to a temporary file beside it, which is then renamed. */
  write(path: string, text: string | Uint8Array, options?: WriteOptions): Promise<void>
  /** Uploads a file of the operator's machine, atomically; zeroes become holes. */
  upload(localPath: string, remotePath: string, options?: UploadOptions): Promise<void>
  close(): Promise<void>
}
