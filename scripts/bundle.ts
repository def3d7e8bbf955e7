/** cluster:bundle: writes logs, states and the diagnosis of a cluster, without secrets, into one archive. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary:
    'Write logs and states of the hosts, Talos and Kubernetes, without secrets, into one archive.',
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
