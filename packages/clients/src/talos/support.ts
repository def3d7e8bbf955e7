/** The arguments of `talosctl support`. */
import semver from 'semver'

/**
 * The arguments that write an archive to `path`. From 1.14 on, talosctl encrypts it to keys of its makers unless told
 * otherwise; before, it does not know the flag (cmd/talosctl/cmd/talos/support.go).
 */
export function supportArguments(talosctlVersion: string, path: string): string[] {
  const encrypts = semver.gte(semver.coerce(talosctlVersion) ?? '0.0.0', '1.14.0')
  return [
    'support',
    '--output',
    path,
    '--num-workers',
    '4',
    ...(encrypts ? ['--no-encryption'] : []),
  ]
}
