/** Addresses without the secrets in them. */
/**
 * An address without its user and password. The user of an SSH address alone is not a secret, and is kept.
 */
export function withoutCredentials(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s@:/]*:\S*@/gi, '$1...@')
    .replace(/(https?:\/\/)\S*@/gi, '$1...@')
    .replace(/(^|[\s"'])[^\s@:/"']+:[^\s/][^\s]*@/g, '$1...@')
}
