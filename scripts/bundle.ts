/** cluster:bundle: everything that tells what happened, without secrets, in one file to look through or to send. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Write what hosts, Talos and Kubernetes say, without secrets, into one archive.',
  endsAtOnce: true,
  async run(context) {
    const { json, answer, eachHost } = context
    for (const host of eachHost()) host.catch(() => undefined)
    const { writeBundle } = await import('./bundle/write.ts')
    const { path, findings } = await writeBundle(context)
    const [first] = findings?.diagnoses ?? []
    const cause =
      first === undefined
        ? undefined
        : `${first.code}${first.where === undefined ? '' : ` on ${first.where}`}: ${first.cause}`
    answer(json ? { path, cause: cause ?? null } : [cause, path].filter(Boolean).join('\n'))
  },
})
