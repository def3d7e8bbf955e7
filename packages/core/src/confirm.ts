/** The confirmation that commands need before they delete data. */
import type { Change } from './change.ts'
import { Problem } from './problem.ts'

/** Throws CONFIRM_MISSING, which lists what would be deleted, unless `confirm` (CONFIRM) is the cluster's name. */
export function checkConfirm(
  { name }: { readonly name: string },
  confirm: string | undefined,
  changes: readonly Change[],
): void {
  if (confirm === name || changes.length === 0) return
  const mismatch = confirm === undefined ? '' : `CONFIRM=${confirm} is not this cluster; `
  throw new Problem('CONFIRM_MISSING', `this permanently deletes data of cluster ${name}`, {
    because: changes
      .map(({ summary, from }) => (from === undefined ? summary : `${summary} (${from})`))
      .join('\n'),
    now: 'nothing was changed',
    hint: `${mismatch}to confirm, run the same command with CONFIRM=${name} in front`,
  })
}
