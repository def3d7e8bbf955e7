/** The free space in the file system of a folder, or why the folder cannot be read. */

/** What `df` reports of a folder. */
export type FreeSpace =
  | { readonly bytes: number; readonly error: undefined }
  | { readonly bytes: 0; readonly error: string }

/**
 * Reads the last line of `df --output=avail -B1 -- <folder>/. 2>&1`: a number, or df's error message. Without it, a
 * folder that is missing would be taken for a full one.
 */
export function readFreeSpace(line = ''): FreeSpace {
  const text = line.trim()
  if (/^\d+$/.test(text)) return { bytes: Number(text), error: undefined }
  return { bytes: 0, error: text || 'df printed nothing' }
}
