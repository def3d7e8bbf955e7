import type { Change } from './change.ts'
import { Problem } from './problem.ts'

/** Throws CONFIRM_MISSING, which lists all that would go, unless `said` (CONFIRM) names the cluster. */
export function checkConfirm(
  { name }: { readonly name: string },
  said: string | undefined,
  changes: readonly Change[],
): void {
  if (said === name || changes.length === 0) return
  const another = said === undefined ? '' : `CONFIRM says ${said}, which is not this cluster; `
  throw new Problem(
    'CONFIRM_MISSING',
    `this would take away for good what belongs to cluster ${name}`,
    {
      because: changes
        .map(({ summary, from }) => (from === undefined ? summary : `${summary} (${from})`))
        .join('\n'),
      now: 'nothing was changed',
      hint: `${another}CONFIRM=${name} in front of the command says that you mean it`,
    },
  )
}
