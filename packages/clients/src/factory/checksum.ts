/** Checksums of images at the Image Factory. */
import { request, type RequestOptions } from './request.ts'

/** The sha256 of a compressed image where the factory offers one, else ''; the public one answers 402. */
export async function fetchChecksum(url: string, options: RequestOptions): Promise<string> {
  const { status, text } = await request(`${url}.sha256`, options, {
    accepted: [400, 402, 403, 404, 405],
  })
  return (status === 200 && /^[0-9a-f]{64}(?=\s|$)/.exec(text)?.[0]) || ''
}
